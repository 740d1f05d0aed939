// The whole pool as the stratum suite measures it: `node dist/engine/main.js` on a private chain, in a data folder that
// is thrown away. Its CPU is that of the main process, coordinator and shipper included; the node and the
// stores are processes of their own and left out.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../storage/project-root.js';
import { ProgramLines, type Target } from './stratum-target.js';

/** The first start of all unpacks a node and makes a Postgres cluster. */
const START_MS = 120_000;
/** BIP173's example, for a signet. */
const USER = 'tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx';

/** A line of the pool's log. */
interface LogLine {
  readonly event?: string;
  readonly msg?: string;
  readonly parts?: readonly { readonly name: string; readonly where: string }[];
}

/** Starts a pool; its templates hold what its own chain holds, so no transactions and no tips on demand. */
export async function startPool(): Promise<Target> {
  const root = projectRoot();
  const dataDir = mkdtempSync(join(tmpdir(), 'millrace-bench-pool-'));
  const child = spawn(process.execPath, [join(root, 'dist/engine/main.js')], {
    // Not the project root: a millrace.toml there is the operator's.
    cwd: dataDir,
    env: {
      PATH: process.env.PATH,
      MILLRACE_CACHE_DIR: process.env.MILLRACE_CACHE_DIR ?? join(root, '.millrace', 'cache'),
      DATA_DIR: dataDir,
      SIM_MINERS: '0',
      SHARE_DIFFICULTY: '1e-10',
      VARDIFF_ENABLED: 'false',
      STRATUM_HOST: '127.0.0.1',
      MAX_CONNECTIONS: '20000',
      MAX_CONNECTIONS_PER_ADDRESS: '20000',
      LOG_LEVEL: 'info',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const remove = (): void => rmSync(dataDir, { recursive: true, force: true });
  try {
    const port = await stratumPort(new ProgramLines(child, 'the pool'));
    return {
      swarm: {
        host: '127.0.0.1',
        port,
        user: USER,
        pid: child.pid ?? 0,
        connectionThread: null,
        withChildren: false,
      },
      newTip: null,
      stop: async () => {
        child.kill('SIGTERM');
        await exited;
        remove();
        return null;
      },
    };
  } catch (error) {
    child.kill('SIGKILL');
    remove();
    throw error;
  }
}

async function stratumPort(lines: ProgramLines): Promise<number> {
  let last = '';
  for (;;) {
    let line: LogLine;
    try {
      line = await lines.next<LogLine>(START_MS);
    } catch (error) {
      throw new Error(`the pool did not start${last === '' ? '' : ` after it said "${last}"`}`, {
        cause: error,
      });
    }
    last = line.msg ?? '';
    if (line.event !== 'started') continue;
    const where = line.parts?.find(({ name }) => name.startsWith('Stratum'))?.where ?? '';
    const port = Number(/:(\d+)/.exec(where)?.[1]);
    if (!(port > 0)) throw new Error(`the pool runs, but does not say on which port: "${where}"`);
    return port;
  }
}
