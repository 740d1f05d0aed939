// Brings up the Bitcoin node of the default set-up: a real bitcoind as a child, on a chain of its own with
// no peers. `private` is a signet whose challenge is OP_TRUE (`51`), which anyone may mine (BIP325);
// `regtest` is Core's test chain. engine/main.ts calls it when BITCOIN_RPC_URL is not set.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { debianBitcoind } from './bitcoind-package.js';
import {
  type ChildExit,
  resolveExecutable,
  type SupervisedChild,
  stopOrphan,
  superviseChild,
} from './child-process.js';

const run = promisify(execFile);

export interface BitcoindOptions {
  /** The data folder of the pool; the node uses `bitcoind/` and, unless overridden, `cache/` in it. */
  dataDir: string;
  network: 'private' | 'regtest';
  /** Receives a line for each slow step. */
  log: (line: string) => void;
  /** Tried first; a free port is taken instead when it is busy. */
  rpcPort?: number;
  /** Default: process.env. BITCOIND, PATH and MILLRACE_CACHE_DIR (replaces `<dataDir>/cache`) are read. */
  env?: NodeJS.ProcessEnv;
}

export interface RunningBitcoind {
  /** Without credentials: they are in `cookieFile`, which changes at each start. */
  rpcUrl: string;
  cookieFile: string;
  /** As the node names it: `signet` or `regtest`. */
  chain: string;
  /** Like 290500. */
  version: number;
  subversion: string;
  origin: BitcoindOrigin;
  pid: number;
  /** Resolves when the node has ended, whether asked to or not. */
  exited: Promise<ChildExit>;
  /** Asks the node to end, kills it after half a minute. Never rejects. */
  stop(): Promise<void>;
}

export type BitcoindOrigin = 'BITCOIND' | 'PATH' | 'debian bitcoin-knots';

/** How to run a bitcoind: the words before its own arguments. */
interface BitcoindProgram {
  origin: BitcoindOrigin;
  command: string;
  leadingArgs: string[];
  isKnots: boolean;
}

const CHAINS = {
  private: { chain: 'signet', args: ['-signet', '-signetchallenge=51'] },
  regtest: { chain: 'regtest', args: ['-regtest'] },
} as const;

// Below the ephemeral range: a port there can be taken by any outgoing connection between test and bind.
const PORT_MIN = 18_000;
const PORT_MAX = 32_000;
const START_ATTEMPTS_MAX = 5;
const READY_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 30_000;
const POLL_MS = 25;
const VERSION_TIMEOUT_MS = 20_000;

/**
 * Starts the node and resolves when its RPC answers and its chain is the expected one. A node that a killed
 * Millrace left on this data is ended first. Throws with cause and cure; no process is left then.
 */
export async function startBitcoind(options: BitcoindOptions): Promise<RunningBitcoind> {
  const { network, log } = options;
  const env = options.env ?? process.env;
  const dataDir = join(options.dataDir, 'bitcoind');
  const pidFile = join(dataDir, `${network}.pid`);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  await endOrphan(pidFile, dataDir, log);
  const cacheDir = join(env.MILLRACE_CACHE_DIR ?? join(options.dataDir, 'cache'), 'bitcoind');
  const program = await chooseProgram(env, cacheDir, log);

  for (let attempt = 1; ; attempt++) {
    const preferred = attempt === 1 ? options.rpcPort : undefined;
    const rpcPort = await freePort(preferred);
    if (preferred !== undefined && preferred !== rpcPort) {
      log(`Port ${preferred} is busy: the Bitcoin node takes ${rpcPort}`);
    }
    let zmqPort = rpcPort;
    while (zmqPort === rpcPort) zmqPort = await freePort(undefined);
    const child = await superviseChild({
      name: 'bitcoind',
      command: program.command,
      args: [...program.leadingArgs, ...nodeArgs(network, dataDir, { rpcPort, zmqPort }, program.isKnots)],
      // Nothing else of our environment: it may hold the passwords of other parts.
      env: { PATH: env.PATH, HOME: dataDir, LC_ALL: 'C' },
      pidFile,
      logFile: join(dataDir, `${network}.out.log`),
      dieWithParent: 'SIGTERM',
    });
    const started = await awaitReady(child, network, dataDir, rpcPort);
    if (started.ready) {
      return {
        ...started.facts,
        origin: program.origin,
        pid: child.pid,
        exited: child.exited,
        stop: async () => {
          await child.stop(STOP_DEADLINE_MS);
        },
      };
    }
    await child.stop(STOP_DEADLINE_MS);
    const portWasTaken = /unable to (bind|start http server)/i.test(started.reason);
    if (!portWasTaken || attempt === START_ATTEMPTS_MAX) {
      throw new Error(`bitcoind (${program.origin}) does not start: ${started.reason}`);
    }
  }
}

/** Arguments of bitcoind for a node that serves only us: no peers, little memory, a wallet that can pay. */
function nodeArgs(
  network: BitcoindOptions['network'],
  dataDir: string,
  { rpcPort, zmqPort }: { rpcPort: number; zmqPort: number },
  isKnots: boolean,
): string[] {
  return [
    ...CHAINS[network].args,
    `-datadir=${dataDir}`,
    // A bitcoin.conf of the machine must not turn this node into another one.
    '-conf=/dev/null',
    ...['-server=1', '-printtoconsole=0', `-rpcport=${rpcPort}`, '-rpcthreads=12', '-rpcworkqueue=128'],
    // Tells of new blocks at once; a build without ZMQ takes the argument and ignores it.
    `-zmqpubhashblock=tcp://127.0.0.1:${zmqPort}`,
    ...['-listen=0', '-connect=0', '-dnsseed=0', '-discover=0'],
    // A chain without fee history gives no estimate: without this the wallet refuses to pay.
    ...['-fallbackfee=0.00002', '-keypool=10'],
    ...['-txindex=0', '-dbcache=4', '-par=1', '-maxmempool=50'],
    '-blockmaxweight=3996000',
    // Knots builds small blocks and relays less by default.
    ...(isKnots ? ['-blockmaxsize=3900000', '-corepolicy'] : []),
  ];
}

async function endOrphan(pidFile: string, dataDir: string, log: (line: string) => void): Promise<void> {
  const outcome = await stopOrphan(pidFile, `-datadir=${dataDir}`, STOP_DEADLINE_MS);
  if (outcome === 'stopped' || outcome === 'killed') {
    log(`A bitcoind left by an earlier run was ${outcome}`);
  }
  if (outcome === 'in_use') {
    throw new Error(
      `Another Millrace already runs a bitcoind on ${dataDir}. Stop it, or start with another data folder (DATA_DIR).`,
    );
  }
  if (outcome === 'unstoppable') {
    throw new Error(
      `A bitcoind of an earlier run still uses ${dataDir} and cannot be stopped, probably because another user started it. Stop the process named in ${pidFile}.`,
    );
  }
}

async function chooseProgram(
  env: NodeJS.ProcessEnv,
  cacheDir: string,
  log: (line: string) => void,
): Promise<BitcoindProgram> {
  const named = env.BITCOIND;
  if (named !== undefined && named !== '') {
    const command = resolveExecutable(named, env.PATH);
    if (command === undefined) {
      throw new Error(`BITCOIND names ${named}, which is missing or not executable. Correct or unset it.`);
    }
    return await probe('BITCOIND', command, []);
  }
  const onPath = resolveExecutable('bitcoind', env.PATH);
  if (onPath !== undefined) return await probe('PATH', onPath, []);
  const { bitcoind, loader, libraries } = await debianBitcoind(cacheDir, log);
  try {
    return await probe('debian bitcoin-knots', bitcoind, []);
  } catch {
    // The host's C library is older than the program wants: run it with the loader it came with.
    return await probe('debian bitcoin-knots', loader, ['--library-path', libraries, bitcoind]);
  }
}

async function probe(
  origin: BitcoindOrigin,
  command: string,
  leadingArgs: string[],
): Promise<BitcoindProgram> {
  try {
    const { stdout } = await run(command, [...leadingArgs, '-version'], { timeout: VERSION_TIMEOUT_MS });
    return { origin, command, leadingArgs, isKnots: /knots/i.test(stdout.split('\n')[0] ?? '') };
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message?: string };
    const detail = (stderr ?? '').trim().split('\n').at(-1) || message;
    throw new Error(
      `bitcoind (${origin}, ${command}) cannot run here: ${detail}. Set BITCOIND to one that does.`,
      { cause: error },
    );
  }
}

type Start =
  | {
      ready: true;
      facts: Pick<RunningBitcoind, 'rpcUrl' | 'cookieFile' | 'chain' | 'version' | 'subversion'>;
    }
  | { ready: false; reason: string };

async function awaitReady(
  child: SupervisedChild,
  network: BitcoindOptions['network'],
  dataDir: string,
  rpcPort: number,
): Promise<Start> {
  const expected = CHAINS[network].chain;
  const rpcUrl = `http://127.0.0.1:${rpcPort}`;
  const cookieFile = join(dataDir, expected, '.cookie');
  let gone: ChildExit | undefined;
  void child.exited.then((exit) => {
    gone = exit;
  });
  const start = performance.now();
  let lastAnswer = 'no answer on its RPC port';
  while (performance.now() - start < READY_DEADLINE_MS) {
    if (gone !== undefined) {
      const words = gone.lastLines.slice(-5).join(' ') || `exit code ${gone.code}, signal ${gone.signal}`;
      return { ready: false, reason: words };
    }
    if (existsSync(cookieFile)) {
      try {
        const { chain } = await ask(rpcUrl, cookieFile, 'getblockchaininfo');
        if (chain !== expected) return { ready: false, reason: `it is on chain ${chain}, not ${expected}` };
        const { version, subversion } = await ask(rpcUrl, cookieFile, 'getnetworkinfo');
        return {
          ready: true,
          facts: {
            rpcUrl,
            cookieFile,
            chain: expected,
            version: Number(version),
            subversion: String(subversion),
          },
        };
      } catch (error) {
        lastAnswer = (error as Error).message;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return {
    ready: false,
    reason: `not ready after ${READY_DEADLINE_MS / 1000} s (${lastAnswer}); see ${join(dataDir, expected, 'debug.log')}`,
  };
}

// The typed client of engine/node stands above this room; the start-up needs two questions without
// arguments and nothing else of it.
async function ask(rpcUrl: string, cookieFile: string, method: string): Promise<Record<string, unknown>> {
  const cookie = readFileSync(cookieFile, 'utf8').trim();
  const response = await fetch(rpcUrl, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(cookie).toString('base64')}`, connection: 'close' },
    body: JSON.stringify({ id: 'start', method, params: [] }),
    signal: AbortSignal.timeout(5000),
  });
  if (response.status === 401) throw new Error('its login cookie is not valid yet');
  const answer = (await response.json()) as {
    result: Record<string, unknown> | null;
    error: { message: string } | null;
  };
  if (answer.result === null) throw new Error(answer.error?.message ?? 'empty answer');
  return answer.result;
}

async function freePort(preferred: number | undefined): Promise<number> {
  if (preferred !== undefined && (await canBind(preferred))) return preferred;
  for (let attempt = 0; attempt < 50; attempt++) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));
    if (await canBind(port)) return port;
  }
  throw new Error(`No free port between ${PORT_MIN} and ${PORT_MAX} for the Bitcoin node's RPC`);
}

function canBind(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
