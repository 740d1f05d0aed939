// The ClickHouse engine (npm chdb) behind one door. Each query runs in a session of its own: settings cannot
// leak into the next one, and sessions run in parallel where queries of one session would wait for each
// other. https://clickhouse.com/docs/chdb
import { randomUUID } from 'node:crypto';
import { Session } from 'chdb';
import { ErrorCode, exception, toException } from './exception.js';
import { quoteIdentifier, quoteString, type Settings, setStatement } from './settings.js';

export interface EngineQuery {
  sql: string;
  /** Output format where the SQL has no FORMAT clause. */
  format: string;
  database: string;
  settings: Settings;
  readOnly: boolean;
  /** Rejects a query that still waits for its turn, and kills a reading one that runs. */
  signal: AbortSignal;
  /** Its result goes into a pipe as it comes, and may take as long as its reader (stream-result.ts). */
  streamed?: boolean;
  /** Name of a session to keep, for temporary tables; undefined for a session of its own. */
  keep?: { id: string; timeoutMs: number } | undefined;
}

export interface EngineResult {
  bytes: Uint8Array;
  rows: number;
  /** Time inside the engine. */
  elapsedS: number;
}

interface KeptSession {
  session: Session;
  busy: boolean;
  expiry: NodeJS.Timeout | undefined;
}

// Every running query holds a thread of libuv's pool (16, see main.ts); file access and gzip need the others.
const READERS_MAX = 7;
const WRITERS_MAX = 4;
const STREAMS_MAX = 3;
const WAITING_MAX = 100;
const KEPT_SESSIONS_MAX = 32;

export class Engine {
  readonly version: string;
  readonly timezone: string;
  /** All table functions the engine has. */
  readonly tableFunctions: readonly string[];
  readonly #path: string;
  /** Held open for the life of the process: the engine shuts down with its last session. */
  readonly #root: Session;
  readonly #readers = new Turns(READERS_MAX, WAITING_MAX);
  readonly #writers = new Turns(WRITERS_MAX, WAITING_MAX);
  readonly #streams = new Turns(STREAMS_MAX, WAITING_MAX);
  readonly #kept = new Map<string, KeptSession>();
  readonly #onBroken: (reason: string) => void;

  /** Opens the data folder and makes the database. Throws when another process holds the folder. */
  constructor(path: string, database: string, onBroken: (reason: string) => void) {
    this.#path = path;
    this.#onBroken = onBroken;
    this.#root = new Session(path);
    this.#root.query(`CREATE DATABASE IF NOT EXISTS ${quoteIdentifier(database)}`);
    const [version = '', timezone = ''] = this.#ask('SELECT version(), timezone()').split('\t');
    this.version = version;
    this.timezone = timezone;
    this.tableFunctions = this.#ask('SELECT name FROM system.table_functions').split('\n');
  }

  /** Runs one statement. Rejects with the engine's own error. */
  async run(query: EngineQuery): Promise<EngineResult> {
    const turns = query.streamed ? this.#streams : query.readOnly ? this.#readers : this.#writers;
    await turns.take(query.signal);
    try {
      // What a reader does leaves nothing behind in a session: there is nothing to keep.
      return query.keep === undefined || query.readOnly
        ? await this.#runFresh(query)
        : await this.#runKept(query);
    } catch (error) {
      const failure = toException(error);
      if (failure.code === ErrorCode.ABORTED && /fatal error/.test(failure.message)) {
        this.#onBroken(failure.message);
      }
      throw failure;
    } finally {
      turns.give();
    }
  }

  /** Asks all reading queries to end, and resolves when nothing runs or the time is over. */
  async drain(deadlineMs: number): Promise<void> {
    // Never KILL ... SYNC: it does not return in this engine and then blocks the end of the process.
    this.#root.query("KILL QUERY WHERE Settings['readonly'] = '1' ASYNC");
    const since = performance.now();
    const all = [this.#readers, this.#writers, this.#streams];
    while (all.some(({ taken }) => taken > 0) && performance.now() - since < deadlineMs) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    for (const { session } of this.#kept.values()) session.close();
    this.#root.close();
  }

  async #runFresh(query: EngineQuery): Promise<EngineResult> {
    const session = new Session(this.#path);
    try {
      return await this.#runIn(session, query);
    } finally {
      session.close();
    }
  }

  async #runKept(query: EngineQuery): Promise<EngineResult> {
    const { id, timeoutMs } = query.keep ?? { id: '', timeoutMs: 0 };
    let kept = this.#kept.get(id);
    if (kept === undefined) {
      if (this.#kept.size >= KEPT_SESSIONS_MAX) {
        throw exception('TOO_MANY_SIMULTANEOUS_QUERIES', `More than ${KEPT_SESSIONS_MAX} sessions are open`);
      }
      kept = { session: new Session(this.#path), busy: false, expiry: undefined };
      this.#kept.set(id, kept);
    }
    if (kept.busy) throw exception('SESSION_IS_LOCKED', `Session ${id} is locked by a concurrent client`);
    clearTimeout(kept.expiry);
    kept.busy = true;
    const { session } = kept;
    const before = this.#valuesOf(session, [...query.settings.keys()]);
    try {
      return await this.#runIn(session, query);
    } finally {
      // Settings of a request are for that request; what it SET by statement stays.
      const restore = setStatement(before);
      if (restore !== undefined) session.query(restore);
      kept.busy = false;
      kept.expiry = setTimeout(() => {
        this.#kept.delete(id);
        session.close();
      }, timeoutMs);
      kept.expiry.unref();
    }
  }

  async #runIn(session: Session, query: EngineQuery): Promise<EngineResult> {
    const mark = randomUUID();
    session.query(`USE ${quoteIdentifier(query.database)}`);
    const settings = new Map(query.settings).set('log_comment', mark);
    // Last: nothing can be set after it.
    if (query.readOnly) settings.set('readonly', '1');
    session.query(setStatement(settings) ?? '');
    const kill = () => {
      this.#root.query(`KILL QUERY WHERE Settings['log_comment'] = ${quoteString(mark)} ASYNC`);
    };
    if (query.readOnly || query.streamed) query.signal.addEventListener('abort', kill, { once: true });
    try {
      // Gone between its turn and here: the listener above would never hear of it.
      if (query.signal.aborted) throw cancelled();
      const result = await session.queryAsync(query.sql, { format: query.format });
      return { bytes: result.bytes(), rows: result.rowsRead, elapsedS: result.elapsed };
    } finally {
      query.signal.removeEventListener('abort', kill);
    }
  }

  #valuesOf(session: Session, names: readonly string[]): Settings {
    const list = names.filter((name) => !name.startsWith('param_')).map(quoteString);
    if (list.length === 0) return new Map();
    const rows = session.query(
      `SELECT name, value FROM system.settings WHERE name IN (${list.join(', ')})`,
      'JSONCompactEachRow',
    );
    return new Map(
      rows
        .split('\n')
        .filter((row) => row !== '')
        .map((row) => JSON.parse(row) as [string, string]),
    );
  }

  #ask(sql: string): string {
    return this.#root.query(sql, 'TabSeparated').trim();
  }
}

/** So many at once, the others wait in order, a bounded number of them. */
class Turns {
  readonly #atOnce: number;
  readonly #waitingMax: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(atOnce: number, waitingMax: number) {
    this.#atOnce = atOnce;
    this.#waitingMax = waitingMax;
  }

  get taken(): number {
    return this.#taken;
  }

  async take(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw cancelled();
    if (this.#taken < this.#atOnce) {
      this.#taken++;
      return;
    }
    if (this.#waiting.length >= this.#waitingMax) {
      throw exception(
        'TOO_MANY_SIMULTANEOUS_QUERIES',
        `Too many simultaneous queries: ${this.#waitingMax} wait`,
      );
    }
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        const place = this.#waiting.indexOf(enter);
        if (place === -1) return;
        this.#waiting.splice(place, 1);
        reject(cancelled());
      };
      const enter = () => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      this.#waiting.push(enter);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  give(): void {
    const next = this.#waiting.shift();
    // The turn passes on as it is.
    if (next === undefined) this.#taken--;
    else next();
  }
}

function cancelled(): Error {
  return exception('QUERY_WAS_CANCELLED', 'The client went away before the query ran');
}
