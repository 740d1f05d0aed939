// What a case is, and what it is given: the pool under test, through connections that end with the case.
import { type Address, Connection } from './connection.js';
import { expectThat } from './expectation.js';
import { Miner, type MinerOptions } from './miner.js';
import type { Transcript } from './transcript.js';

/** must: miners lose work or money otherwise. should: what good pools do. */
export type Level = 'must' | 'should';

export interface ConformanceCase {
  /** topic/name */
  readonly name: string;
  readonly level: Level;
  /** One sentence. */
  readonly rule: string;
  /** Where the rule comes from. */
  readonly source: string;
  /** Takes longer than a request: only run on demand. */
  readonly slow?: boolean;
  /** Sends what no miner sends: not run against another machine unless asked for. */
  readonly hostile?: boolean;
  /** Throws CaseFailure or CaseSkipped; may return a remark for the report. */
  run(pool: PoolUnderTest): Promise<string | undefined>;
}

export interface PoolSettings extends Address {
  readonly user: string;
  readonly password: string;
  /** Shares of a higher difficulty are not searched for. */
  readonly maxDifficulty: number;
}

/** Time a pool may take to follow a wish of the miner with a new job. */
export const NEW_JOB_WITHIN_MS = 15_000;

export class PoolUnderTest {
  readonly settings: PoolSettings;
  readonly connections: Connection[] = [];
  readonly #transcript: Transcript;
  readonly #miners: Miner[] = [];

  constructor(settings: PoolSettings, transcript: Transcript) {
    this.settings = settings;
    this.#transcript = transcript;
  }

  async connect(): Promise<Connection> {
    const connection = await Connection.open(this.settings, this.connections.length + 1, this.#transcript);
    this.connections.push(connection);
    return connection;
  }

  /** A connection that was configured, subscribed and authorized as asked. */
  async miner(options: MinerOptions = {}): Promise<Miner> {
    const { user = this.settings.user, password = this.settings.password } = options;
    const miner = new Miner(await this.connect(), user, this.settings.maxDifficulty);
    this.#miners.push(miner);
    if (options.versionMask !== undefined || options.extensions !== undefined) {
      await miner.configure(options.versionMask ?? 0, options.extensions);
    }
    await miner.subscribe(options.subscribe);
    if (options.authorize !== false) {
      const reply = await miner.authorize(user, password);
      expectThat(reply.code === null && reply.result === true, `"${user}" authorized`, reply.line);
    }
    return miner;
  }

  /** The user with another worker name behind the account. */
  workerNamed(worker: string): string {
    const [account] = this.settings.user.split('.');
    return `${account}.${worker}`;
  }

  /** A connection that was not there before is subscribed: the pool still serves. */
  async expectServing(): Promise<void> {
    const connection = await this.connect();
    const reply = await connection.request('mining.subscribe', []);
    expectThat(Array.isArray(reply.result), 'the next connection served', reply.line);
    connection.close();
  }

  /** True when the chain's tip changed under one of the miners: shares of before are stale through no fault. */
  get tipMoved(): boolean {
    return this.#miners.some(({ jobs }) => {
      const [first] = jobs;
      return (
        first !== undefined && jobs.some((job) => !Buffer.from(job.previousHash).equals(first.previousHash))
      );
    });
  }

  close(): void {
    for (const connection of this.connections) connection.close();
  }
}

/** True when the pool took the wish: it may round it to what firmware can work with. */
export function isAbout(difficulty: number, wanted: number): boolean {
  return Math.abs(difficulty / wanted - 1) <= 0.01;
}
