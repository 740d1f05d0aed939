// `npm start`: runs the pool in the foreground, shows what it brought up and what happens, and ends it in
// order on Ctrl-C or SIGTERM. A second signal ends it at once.

import type { Config } from '../config/config.js';
import { createLogger, type Logger } from '../config/log.js';
import { Pool, type PoolEvent } from '../pool.js';
import { reportEvent } from './event-report.js';
import { LiveLine, poolLine } from './live-line.js';
import { projectVersion } from './prepare-start.js';

const LINE_EVERY_MS = 1000;
/** Without a terminal the state is logged this often. */
const STATUS_EVERY_MS = 10_000;
const SAME_SIGNAL_MS = 1000;
const BLOCK_NEWS_EVERY_MS = 10_000;

/** Resolves with the exit code once the pool has ended. */
export async function start(config: Config): Promise<number> {
  const line = new LiveLine(process.stdout);
  const isTerminal = process.stdout.isTTY === true;
  const log = createLogger({
    level: config.logLevel,
    secretUrls: config.secretUrls,
    output: line as unknown as NodeJS.WritableStream,
    pretty: isTerminal,
  });
  const blocks = new BlockNews((event) => reportEvent(event, log));
  let pool: Pool | null = null;
  let ended: (code: number) => void = () => {};
  const exitCode = new Promise<number>((resolve) => {
    ended = resolve;
  });
  let askedAtMs = Number.NaN;
  const onSignal = (): void => {
    // npm passes on the signal that the terminal also sent to us: one Ctrl-C can arrive twice.
    if (performance.now() - askedAtMs < SAME_SIGNAL_MS) return;
    // A second one is meant. SIGKILL, since ending with threads alive can abort; the children end with us,
    // and what was answered is in the journal.
    if (!Number.isNaN(askedAtMs)) process.kill(process.pid, 'SIGKILL');
    askedAtMs = performance.now();
    line.clear();
    if (pool === null) {
      log.info('stopping as soon as the start is complete (again: at once)');
      return;
    }
    log.info('stopping: answering what is in flight, storing it, ending the children (again: at once)');
    void pool.stop().then(() => ended(0));
  };
  const onFatal = (): void => {
    askedAtMs = performance.now();
    if (pool === null) process.kill(process.pid, 'SIGKILL');
    else void pool.stop().then(() => ended(1));
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);

  try {
    log.info({ network: config.network, dataDir: config.dataDir }, 'Millrace starts');
    pool = await Pool.start({
      config,
      log,
      version: projectVersion(),
      onFatal,
      onEvent: (event) => {
        if (isTerminal && event.type === 'block_found') blocks.found(event);
        else reportEvent(event, log);
      },
    });
  } catch (error) {
    line.clear();
    log.fatal(`Millrace cannot start. ${(error as Error).message}`);
    log.debug({ err: error }, 'where it failed');
    return 1;
  }
  if (!Number.isNaN(askedAtMs)) {
    await pool.stop();
    return 0;
  }
  showTable(pool, line, log, isTerminal);
  const running = pool;
  const timer = setInterval(
    () => {
      const picture = running.picture.last;
      if (picture === null || !Number.isNaN(askedAtMs)) return;
      if (isTerminal) line.show(poolLine(picture));
      else {
        const { hashrate, shares, blocks, balances, node, stratum } = picture;
        log.info(
          {
            event: 'status',
            height: node.height,
            hashrate: hashrate.m5,
            workers: stratum.workers,
            shares: { answered_true: shares.answered_true, difference: shares.difference },
            blocks: { ...blocks, last: undefined },
            balances,
          },
          poolLine(picture),
        );
      }
    },
    isTerminal ? LINE_EVERY_MS : STATUS_EVERY_MS,
  );
  const code = await exitCode;
  clearInterval(timer);
  line.clear();
  if (code === 0) log.info('Millrace has stopped; everything is kept for the next start');
  else log.fatal('Millrace has stopped because a part of it failed; everything is kept for the next start');
  return code;
}

function showTable(pool: Pool, line: LiveLine, log: Logger, isTerminal: boolean): void {
  const page = `http://127.0.0.1:${pool.apiPort}`;
  const urls = {
    miners: `stratum+tcp://127.0.0.1:${pool.stratumPort}`,
    page: `${page}/`,
    stats: `${page}/api/stats`,
    metrics: `${page}/metrics`,
    health: `${page}/health`,
    shares: `${pool.servers.clickhouseHttp}/?query=SELECT+count(),sum(difficulty)+FROM+shares`,
  };
  if (!isTerminal) {
    log.info({ event: 'started', parts: pool.parts, urls }, 'Millrace runs');
    return;
  }
  const name = Math.max(...pool.parts.map((part) => part.name.length));
  const where = Math.max(...pool.parts.map((part) => part.where.length));
  line.write(
    [
      '',
      `  ${'PART'.padEnd(name)}  ${'RUNS'.padEnd(where)}  REPLACED OR SET BY`,
      ...pool.parts.map(
        (part) => `  ${part.name.padEnd(name)}  ${part.where.padEnd(where)}  ${part.setting}`,
      ),
      '',
      `  Connect a miner   ${urls.miners}   user: <address>.<worker>, any password`,
      `  Watch             ${urls.page}`,
      `  Numbers           ${urls.stats}   ${urls.metrics}   ${urls.health}`,
      `  Shares in SQL     curl '${urls.shares}'`,
      ...(pool.servers.postgresHint === null ? [] : [`  Ledger in SQL     ${pool.servers.postgresHint}`]),
      '  Settings          npm start -- --help',
      '',
      '',
    ].join('\n'),
  );
}

type BlockFound = Extract<PoolEvent, { type: 'block_found' }>;

/** On a terminal, blocks that come by the second would push all else away: one line in a while stands for them. */
class BlockNews {
  readonly #print: (event: BlockFound) => void;
  #printedAtMs = Number.NEGATIVE_INFINITY;

  constructor(print: (event: BlockFound) => void) {
    this.#print = print;
  }

  found(event: BlockFound): void {
    const now = performance.now();
    if (now - this.#printedAtMs < BLOCK_NEWS_EVERY_MS) return;
    this.#printedAtMs = now;
    this.#print(event);
  }
}
