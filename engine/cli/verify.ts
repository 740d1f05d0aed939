// `millrace verify`: recomputes credits from the raw shares in ClickHouse by a path of its own (engine/verify) and prints
// by how many satoshis the ledger differs. Called through commands.ts.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type ClickHouse, explainClickHouseError, openClickHouse } from '../../storage/clickhouse/client.js';
import { type Database, explainPostgresError } from '../../storage/postgres/connection.js';
import type { Config } from '../config/config.js';
import { NodeRpc } from '../node/rpc.js';
import { parseRpcUrl, type RpcEndpoint } from '../node/rpc-endpoint.js';
import { NodeRpcError } from '../node/rpc-error.js';
import { type BooksVerdict, verifyBooks } from '../verify/day-books.js';
import { type CreditChoice, countCredits, readCredits } from '../verify/ledger-credits.js';
import { ReportRows, reportJson, reportText } from '../verify/report.js';
import { ShortSlices } from '../verify/short-slices.js';
import { Verifier } from '../verify/verifier.js';
import { type CommandDatabase, openCommandDatabase } from './database.js';
import { ProgressLine } from './progress-line.js';
import { findClickHouse, POOL_HELP, POOL_OPTIONS } from './running-stores.js';

const EXIT_DIFFERENT = 1;
const EXIT_WRONG_USAGE = 2;
const EXIT_INCOMPLETE = 3;
const ROWS_DEFAULT = 50;
const ROWS_MAX = 10_000;
const TIMEOUT_S = 120;
const PAGE = 20;
const BLOCKS_MAX = 100;

const HELP = [
  'millrace verify: recomputes credits from the raw shares in ClickHouse, by arithmetic of its own, and compares each',
  'line with the ledger. The difference must be 0. Reads only; the pool may run.',
  '',
  '  --block HASH|HEIGHT   the credits of a block of ours',
  '  --credit KEY          one credit, by its idempotency key in the ledger',
  '  --day YYYY-MM-DD      all credits of a UTC day; also that the ledger sums to 0, that balances are their lines,',
  '                        and that payouts confirmed that day took what they sent and cost',
  '  --all                 the same for all days',
  `  --rows N              credits, and lines of each, that are listed, 1 to ${ROWS_MAX} [${ROWS_DEFAULT}]`,
  '  --json                one JSON object; satoshis as strings',
  ...POOL_HELP,
  '',
  'Ends with 0 when nothing differs, 1 when something does, 2 for a wrong command line, 3 when the stores do not hold',
  'all that it takes (shares that retention removed, a store that is behind or does not answer).',
];

interface Request {
  values: Record<string, unknown>;
  block: string | null;
  choice: CreditChoice | null;
  /** Null: single credits; `day` null: all days. */
  books: { day: string | null } | null;
  rowsMax: number;
}

/** Runs `argv` (what follows `verify`) and returns the exit code. */
export async function verify(argv: readonly string[]): Promise<number> {
  let request: Request | null;
  try {
    request = readRequest(argv);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\nmillrace verify --help lists the flags.\n`);
    return EXIT_WRONG_USAGE;
  }
  if (request === null) {
    process.stdout.write(`${HELP.join('\n')}\n`);
    return 0;
  }
  let pool: CommandDatabase | undefined;
  let clickhouse: ClickHouse | undefined;
  const progress = new ProgressLine();
  try {
    pool = await openCommandDatabase(request.values);
    clickhouse = openClickHouse({ ...(await findClickHouse(pool.config)), timeoutS: TIMEOUT_S });
    return await run(request, pool, clickhouse, progress);
  } catch (error) {
    progress.clear();
    if (error instanceof UsageError) {
      process.stderr.write(`${error.message}\n`);
      return EXIT_WRONG_USAGE;
    }
    process.stderr.write(`${explainFault(error)}\n`);
    return EXIT_INCOMPLETE;
  } finally {
    await clickhouse?.close();
    await pool?.close();
  }
}

/** What was asked for is not there to be verified. */
class UsageError extends Error {}

function readRequest(argv: readonly string[]): Request | null {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const { values } = parseArgs({
    args: [...argv],
    options: {
      ...POOL_OPTIONS,
      ...{ block: text, credit: text, day: text, all: flag },
      ...{ rows: text, json: flag, help: flag },
    },
  });
  if (values.help === true) return null;
  const named = [values.block, values.credit, values.day, values.all].filter((each) => each !== undefined);
  if (named.length !== 1) throw new Error('Name what to verify: one of --block, --credit, --day and --all');
  const rowsMax = Number(values.rows ?? ROWS_DEFAULT);
  if (!Number.isInteger(rowsMax) || rowsMax < 1 || rowsMax > ROWS_MAX) {
    throw new Error(`--rows is a number from 1 to ${ROWS_MAX}, not ${values.rows}`);
  }
  const { block, credit, day } = values;
  if (block !== undefined && !/^([0-9a-f]{64}|\d{1,9})$/.test(block)) {
    throw new Error(`--block ${block} is neither a hash of 64 hex digits nor a height`);
  }
  if (day !== undefined && !isDay(day)) throw new Error(`--day ${day} is no day; write it as 2026-11-21`);
  const choice =
    credit !== undefined ? { key: credit } : day !== undefined ? { day } : { all: true as const };
  return {
    ...{ values, rowsMax, block: block ?? null },
    choice: block === undefined ? choice : null,
    books: day !== undefined || values.all === true ? { day: day ?? null } : null,
  };
}

function isDay(text: string): boolean {
  const ms = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text);
}

async function run(
  request: Request,
  { config, database }: CommandDatabase,
  clickhouse: ClickHouse,
  progress: ProgressLine,
): Promise<number> {
  const node = new CoinbaseWitness(config);
  const slices = new ShortSlices();
  const rows = new ReportRows(request.rowsMax);
  let books: BooksVerdict | null = null;
  try {
    const verifier = new Verifier({
      ...{ database, clickhouse, network: config.network, defaultScheme: config.payoutScheme },
      coinbaseSats: (hash) => node.coinbaseSats(hash),
    });
    const choices = request.choice === null ? await blockChoices(database, request) : [request.choice];
    let expected = 0;
    for (const choice of choices) expected += await countCredits(database, choice);
    if (expected === 0 && 'key' in (choices[0] ?? {})) {
      throw new UsageError(`the ledger has no credit ${request.values.credit}`);
    }
    for (const choice of choices) {
      for (let afterId = 0n; ; ) {
        const credits = await readCredits(database, { ...choice, afterId }, PAGE);
        for (const credit of credits) {
          progress.show(rows.total.credits / expected, () => `${rows.total.credits} of ${expected} credits`);
          rows.add(await verifier.verify(credit));
          afterId = credit.id;
        }
        if (credits.length < PAGE) break;
      }
    }
    if (request.books !== null) {
      progress.show(1, () => 'the books');
      books = await verifyBooks(database, config.network, request.books.day, slices);
    }
  } finally {
    node.close();
  }
  progress.clear();
  const report = { credits: rows.credits, total: rows.total, books, node: node.words };
  process.stdout.write(
    request.values.json === true ? reportJson(report) : reportText(report, request.rowsMax),
  );
  if (rows.total.different > 0 || (books !== null && !balances(books))) return EXIT_DIFFERENT;
  return rows.total.incomplete > 0 ? EXIT_INCOMPLETE : 0;
}

const balances = ({ sumSats, balancesDiffering, faults }: BooksVerdict): boolean =>
  sumSats === 0n && balancesDiffering === 0 && faults.length === 0;

async function blockChoices(database: Database, { block }: Request): Promise<CreditChoice[]> {
  const named = block ?? '';
  const rows = await database<{ hash: string }[]>`
    select hash from blocks
    where ${named.length === 64 ? database`hash = ${named}` : database`height = ${Number(named)}`}
    order by found_at limit ${BLOCKS_MAX}`;
  if (rows.length === 0) throw new UsageError(`block ${named} is none of this pool's`);
  return rows.map(({ hash }) => ({ blockHash: hash }));
}

/** Asks the node what coinbases pay, as long as it answers. */
class CoinbaseWitness {
  readonly #rpc: NodeRpc | null;
  #asked = 0;
  #unknown = 0;
  #trouble: string | null = null;

  constructor(config: Config) {
    const endpoint = findNode(config);
    this.#rpc = endpoint === null ? null : new NodeRpc({ endpoint });
    if (endpoint === null) this.#trouble = 'no node was found';
  }

  async coinbaseSats(hash: string): Promise<bigint | null> {
    if (this.#rpc === null || this.#trouble !== null) return null;
    try {
      const outputs = await this.#rpc.getCoinbaseOutputs(hash);
      this.#asked++;
      return outputs.reduce((sum, { sats }) => sum + sats, 0n);
    } catch (error) {
      // A block that it does not have, or no longer, says nothing of the others.
      if (error instanceof NodeRpcError) this.#unknown++;
      else this.#trouble = (error as Error).message;
      return null;
    }
  }

  /** One sentence for the report. */
  get words(): string {
    const gone = this.#unknown === 0 ? '' : `, ${this.#unknown} it does not have`;
    if (this.#trouble === null) {
      return `${this.#asked} coinbases compared with those of the node at ${this.#rpc?.name}${gone}`;
    }
    return `coinbases were not compared with a node: ${this.#trouble}`;
  }

  close(): void {
    this.#rpc?.close();
  }
}

/** The first node of BITCOIN_RPC_URL, or the embedded one of the pool that runs on the data folder. */
function findNode(config: Config): RpcEndpoint | null {
  const [url] = config.bitcoinRpcUrls;
  if (url !== undefined) return parseRpcUrl(url);
  const folder = join(config.dataDir, 'bitcoind');
  const chain = config.network === 'private' ? 'signet' : config.network;
  const pidFile = join(folder, `${config.network}.pid`);
  const cookieFile = join(folder, chain, '.cookie');
  if (!existsSync(pidFile) || !existsSync(cookieFile)) return null;
  try {
    // Its port is an argument of its own (storage/embedded/bitcoind.ts).
    const pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10);
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    const port = words.find((word) => word.startsWith('-rpcport='))?.slice('-rpcport='.length);
    return port === undefined ? null : parseRpcUrl(`http://127.0.0.1:${port}`, cookieFile);
  } catch {
    return null;
  }
}

function explainFault(error: unknown): string {
  const { name, message } = error as Error;
  if (name === 'PostgresError') return explainPostgresError(error);
  if (name === 'ClickHouseError' || /ECONN|Timeout/.test(message)) return explainClickHouseError(error);
  return message;
}
