// A miner of the suite: one connection with what the pool negotiated on it, its jobs each bound to the difficulty
// they were sent with, and shares with real proof of work. Built on the job code of the simulated miners, which
// is written from the miner's side only.
import { encodeHeader } from '../../engine/bitcoin/header.js';
import { bytesToHex, hexToBytes, isHex } from '../../engine/bitcoin/hex.js';
import { targetFromDifficulty, targetToBytesLE } from '../../engine/bitcoin/target.js';
import { type MiningJob, merkleRootOf, parseNotify, wordHex } from '../../loadtest/mining-job.js';
import { type Connection, isReply, type Received, type Reply } from './connection.js';
import { CaseSkipped, expectThat } from './expectation.js';
import { effortOf, findMiss, findNonce, networkDifficulty } from './share-search.js';

export interface MinerOptions {
  /** Version bits to ask for; 0: `mining.configure` is not sent. */
  readonly versionMask?: number;
  /** Lines of `mining.configure` beside it. */
  readonly extensions?: Readonly<Record<string, Record<string, unknown>>>;
  /** Parameters of `mining.subscribe`; the suite's agent alone when left out. */
  readonly subscribe?: readonly unknown[];
  readonly user?: string;
  readonly password?: string;
  /** false: `mining.authorize` is not sent. */
  readonly authorize?: boolean;
}

export interface MineOptions {
  /** The newest job when left out. */
  readonly job?: MiningJob;
  /** Any length; a fresh value when left out. */
  readonly extranonce2?: Uint8Array;
  readonly time?: number;
  /** Version of the header as hashed; the job's when left out. */
  readonly version?: number;
  /** Difficulty that the hash meets; the job's when left out. */
  readonly difficulty?: number;
  /** The hash misses the target of this difficulty. */
  readonly butNot?: number;
}

/** A share as the fields of `mining.submit`, version bits apart. */
export interface Share {
  readonly job: MiningJob;
  readonly jobId: string;
  readonly extranonce2: string;
  readonly ntime: string;
  readonly nonce: string;
}

export const AGENT = 'stratum-conformance/1.0';

/** Shares of all cases differ: a session that is resumed must not see one twice unless a case wants it. */
let nextExtranonce2 = 1;

export class Miner {
  readonly connection: Connection;
  readonly user: string;
  readonly jobs: MiningJob[] = [];
  extranonce1: Uint8Array = new Uint8Array(0);
  extranonce2Bytes = 0;
  /** Id to resume with: that of the subscription to mining.notify. */
  sessionId: string | null = null;
  /** Version bits that the pool allows to roll. */
  versionMask = 0;
  /** Difficulty announced last; 1 before the first. */
  difficulty = 1;
  readonly #maxDifficulty: number;
  #subscribeId = 0;

  constructor(connection: Connection, user: string, maxDifficulty: number) {
    this.connection = connection;
    this.user = user;
    this.#maxDifficulty = maxDifficulty;
    connection.onLine = (received) => this.#take(received);
  }

  /** `mining.configure` with version rolling. @returns the reply's result */
  async configure(
    versionMask: number,
    extensions: Readonly<Record<string, Record<string, unknown>>> = {},
  ): Promise<Record<string, unknown>> {
    const codes = [...(versionMask === 0 ? [] : ['version-rolling']), ...Object.keys(extensions)];
    const rolling = {
      'version-rolling.mask': wordHex(versionMask),
      'version-rolling.min-bit-count': 2,
    };
    const options = Object.assign({}, versionMask === 0 ? {} : rolling, ...Object.values(extensions));
    const reply = await this.connection.request('mining.configure', [codes, options]);
    const { result } = reply;
    expectThat(
      reply.code === null && typeof result === 'object' && result !== null,
      'a result of mining.configure',
      reply.line,
    );
    const fields = result as Record<string, unknown>;
    if (versionMask !== 0 && fields['version-rolling'] === true) {
      this.versionMask = Number.parseInt(String(fields['version-rolling.mask']), 16) >>> 0;
    }
    return fields;
  }

  /** `mining.subscribe`; reads extranonce and session id. */
  async subscribe(params: readonly unknown[] = [AGENT]): Promise<Reply> {
    const { connection } = this;
    const id = connection.newId();
    this.#subscribeId = id;
    const from = connection.received.length;
    connection.send([JSON.stringify({ id, method: 'mining.subscribe', params })]);
    const reply = await connection.reply(id, from, 'mining.subscribe');
    expectThat(
      reply.code === null && this.#readSubscription(reply.result),
      'a result [subscriptions, extranonce1 in hex, extranonce2 length of 1 to 32]',
      reply.line,
    );
    return reply;
  }

  authorize(user: string, password: string): Promise<Reply> {
    return this.connection.request('mining.authorize', [user, password]);
  }

  /** The newest job; waits for the first. */
  async job(): Promise<MiningJob> {
    if (this.jobs.length === 0) {
      await this.connection.next('a first job (mining.notify)', () => this.jobs.length > 0, 0);
    }
    return this.jobs.at(-1) as MiningJob;
  }

  /** Waits for a job behind the first `known` ones. */
  async nextJob(
    known: number,
    withinMs: number,
    wanted: (job: MiningJob) => boolean = () => true,
  ): Promise<MiningJob> {
    const found = (): MiningJob | undefined => this.jobs.slice(known).find(wanted);
    await this.connection.next('a new job (mining.notify)', () => found() !== undefined, 0, withinMs);
    return found() as MiningJob;
  }

  /** An extranonce2 that no share of the suite had before. */
  freshExtranonce2(bytes = this.extranonce2Bytes): Uint8Array {
    const value = nextExtranonce2++;
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(value);
    const result = Buffer.alloc(bytes);
    counter.copy(result, Math.max(0, bytes - 4), Math.max(0, 4 - bytes));
    return new Uint8Array(result);
  }

  /** Finds a share. @throws CaseSkipped where the difficulty is too high for this machine */
  async mine(options: MineOptions = {}): Promise<Share> {
    const { job, header, extranonce2, time } = await this.#header(options);
    const difficulty = options.difficulty ?? job.difficulty;
    const block = networkDifficulty(job.bits);
    // A block moves the tip under the case and costs the pool's node: only who asks for one finds one.
    const butNot = options.butNot ?? (difficulty * 2 <= block ? block : null);
    this.#checkEffort(effortOf(difficulty, butNot));
    const nonce = await findNonce(header, difficulty, butNot);
    return share(job, extranonce2, time, nonce);
  }

  /** The fields of a header that is no share of its job. */
  async mineMiss(): Promise<Share> {
    const { job, header, extranonce2, time } = await this.#header({});
    return share(job, extranonce2, time, findMiss(header, job.difficulty));
  }

  /** Submits; `versionBits` as hex is the sixth parameter, left out when undefined. */
  submit(found: Share, versionBits?: string, user = this.user): Promise<Reply> {
    return this.submitFields(submitFields(found, versionBits, user));
  }

  submitFields(params: readonly unknown[]): Promise<Reply> {
    return this.connection.request('mining.submit', params);
  }

  /** Throws CaseSkipped where `difficulty` is more than this machine should be asked for. */
  #checkEffort(difficulty: number): void {
    if (difficulty > this.#maxDifficulty) {
      throw new CaseSkipped(`difficulty ${difficulty} too high (--max-difficulty ${this.#maxDifficulty})`);
    }
  }

  async #header(options: MineOptions) {
    const job = options.job ?? (await this.job());
    const extranonce2 = options.extranonce2 ?? this.freshExtranonce2();
    const time = options.time ?? job.time;
    const header = encodeHeader({
      version: (options.version ?? job.version) >>> 0,
      previousBlock: job.previousHash,
      merkleRoot: merkleRootOf(job, extranonce2),
      time,
      bits: job.bits,
      nonce: 0,
    });
    return { job, header, extranonce2, time };
  }

  /** @returns whether the result of mining.subscribe makes sense */
  #readSubscription(result: unknown): boolean {
    if (!Array.isArray(result)) return false;
    const [subscriptions, extranonce1, extranonce2Bytes] = result as unknown[];
    if (typeof extranonce1 !== 'string' || !isHex(extranonce1)) return false;
    if (!Number.isInteger(extranonce2Bytes)) return false;
    if (Number(extranonce2Bytes) < 1 || Number(extranonce2Bytes) > 32) return false;
    this.extranonce1 = hexToBytes(extranonce1);
    this.extranonce2Bytes = Number(extranonce2Bytes);
    const entries: unknown[] = Array.isArray(subscriptions) ? subscriptions : [];
    const notify = entries.find((entry) => Array.isArray(entry) && entry[0] === 'mining.notify');
    const id = Array.isArray(notify) ? notify[1] : undefined;
    this.sessionId = typeof id === 'string' ? id : null;
    return true;
  }

  #take({ message }: Received): void {
    if (message === null) return;
    // Read where it arrives: the first job may stand in the same packet.
    if (isReply(message) && message.id === this.#subscribeId) this.#readSubscription(message.result);
    if (!Array.isArray(message.params)) return;
    const { params } = message as { params: unknown[] };
    if (message.method === 'mining.set_difficulty' && typeof params[0] === 'number' && params[0] > 0) {
      this.difficulty = params[0];
    } else if (message.method === 'mining.set_extranonce') {
      if (typeof params[0] !== 'string' || !isHex(params[0])) return;
      this.extranonce1 = hexToBytes(params[0]);
      this.extranonce2Bytes = Number(params[1]);
    } else if (message.method === 'mining.set_version_mask') {
      this.versionMask = Number.parseInt(String(params[0]), 16) >>> 0;
    } else if (message.method === 'mining.notify') this.#takeJob(params);
  }

  #takeJob(params: readonly unknown[]): void {
    try {
      const job = parseNotify(params, {
        difficulty: this.difficulty,
        targetLE: targetToBytesLE(targetFromDifficulty(this.difficulty)),
        extranonce1: this.extranonce1,
        extranonce2Bytes: this.extranonce2Bytes,
      });
      this.jobs.push(job);
    } catch {
      // A rule of its own looks at the shape of each notify.
    }
  }
}

/** The parameters of `mining.submit`. */
export function submitFields(found: Share, versionBits: string | undefined, user: string): string[] {
  const fields = [user, found.jobId, found.extranonce2, found.ntime, found.nonce];
  return versionBits === undefined ? fields : [...fields, versionBits];
}

/** nVersion of a share: (job & ~mask) | (bits & mask), BIP310. */
export function rolledVersion(jobVersion: number, bits: number, mask: number): number {
  return ((jobVersion & ~mask) | (bits & mask)) >>> 0;
}

export function expectAccepted(reply: Reply, what: string): void {
  expectThat(reply.code === null && reply.result === true, `${what} accepted`, reply.line);
}

/** @param codes that the error may carry; empty: any */
export function expectRefused(reply: Reply, what: string, codes: readonly number[] = []): void {
  const asked = codes.length === 0 ? '' : ` with code ${codes.join(' or ')}`;
  // Some pools say no with `result: false` and no error.
  const refused = reply.code !== null || reply.result === false;
  const fits = codes.length === 0 || (reply.code !== null && codes.includes(reply.code));
  expectThat(refused && fits, `${what} refused${asked}`, reply.line);
}

/** @throws CaseSkipped when the pool did not let the miner roll bits. */
export function needRolling(miner: Miner): void {
  if (miner.versionMask === 0) throw new CaseSkipped('the pool does not offer version rolling');
}

function share(job: MiningJob, extranonce2: Uint8Array, time: number, nonce: number): Share {
  return {
    job,
    jobId: job.jobId,
    extranonce2: bytesToHex(extranonce2),
    ntime: wordHex(time),
    nonce: wordHex(nonce),
  };
}
