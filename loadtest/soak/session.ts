// One session of a soak miner: Stratum V1 over any link, and what a pool must hold to in every session. Each job is
// bound to the difficulty that was in force when it came. A pool that breaks a rule is reported as a fault in words;
// the session goes on. Used by miner.ts.
import { bytesToHex, hexToBytes } from '../../engine/bitcoin/hex.js';
import { targetFromDifficulty, targetToBytesLE } from '../../engine/bitcoin/target.js';
import { verdictByName } from '../../engine/work/verdict.js';
import { LineReader } from '../line-reader.js';
import { hexField, type MiningJob, parseNotify, wordField, wordHex } from '../mining-job.js';
import type { Transport } from './habits.js';
import { type Endpoint, Link } from './link.js';
import { answerOf, type Intent, UNANSWERED, UNKNOWN_ANSWER } from './told-shares.js';

export const VERSION_MASK = 0x1fffe000;
const USER_AGENT = 'millrace-soak/1';
/** Jobs a miner may still submit to; more than it works on. */
const JOBS_KEPT = 8;
const SHOWN_CHARACTERS = 160;
const ACCEPTED = verdictByName('accepted').code;

/** What a miner keeps of a closed session to take it up again. */
export interface KeptSession {
  readonly id: string;
  readonly extranonce1: string;
  readonly extranonce2Bytes: number;
  readonly versionMask: number;
  readonly jobs: readonly MiningJob[];
}

export interface Share {
  readonly job: MiningJob;
  readonly extranonce2: Uint8Array;
  readonly nonce: number;
  readonly versionBits: number;
  /** Header hash as hashed. */
  readonly hash: Uint8Array;
  readonly worker: number;
  readonly intent: Intent;
}

export interface SessionOptions {
  readonly transport: Transport;
  readonly endpoint: Endpoint;
  /** Names to authorize. */
  readonly users: readonly string[];
  readonly password: string;
  /** A request that states the wished difficulty; null for none. */
  readonly wish: Request | null;
  /** Negotiates version rolling; a session that is taken up again has it already. */
  readonly configures: boolean;
  readonly asksAtOnce: boolean;
  readonly resumes: KeptSession | null;
  readonly onJob: (job: MiningJob) => void;
  readonly onAnswer: (share: Share, answer: number) => void;
  readonly onRetarget: () => void;
  /** The pool did what it must not. */
  readonly onFault: (what: string) => void;
  /** The pool, or the network, ended it; not called after `leave`. */
  readonly onClosed: (reason: string) => void;
}

export interface Request {
  readonly method: string;
  readonly params: readonly unknown[];
}

export class Session {
  /** Newest last. */
  readonly jobs: MiningJob[] = [];
  versionMask = 0;
  /** Subscribed, and all names authorized. */
  ready = false;
  /** False once extranonce1 was not the one of the session that was to be taken up. */
  resumed: boolean | null = null;

  readonly #options: SessionOptions;
  readonly #link: Link;
  readonly #lines = new LineReader();
  readonly #asked: Request[];
  readonly #requests = new Map<number, Request>();
  readonly #shares = new Map<number, { share: Share; sentMs: number }>();
  #nextId = 1;
  #sessionId = '';
  #extranonce1 = '';
  #extranonce2Bytes = 0;
  #difficulty = 0;
  #targetLE: Uint8Array = new Uint8Array(0);
  #difficultyCameAlone = false;
  #difficulties = 0;
  /** Newest job that came on this connection. */
  #newest: MiningJob | null = null;
  #over = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    const { resumes, users, password, wish, configures } = options;
    this.#asked = [
      ...(configures ? [configureRequest()] : []),
      { method: 'mining.subscribe', params: resumes === null ? [USER_AGENT] : [USER_AGENT, resumes.id] },
      { method: 'mining.extranonce.subscribe', params: [] },
      ...(wish === null ? [] : [wish]),
      ...users.map((user) => ({ method: 'mining.authorize', params: [user, password] })),
    ];
    this.#link = new Link(options.transport, options.endpoint, {
      onOpen: () => this.#ask(),
      onBytes: (chunk) => this.#take(chunk),
      onClosed: (reason) => {
        if (this.#over) return;
        this.#settleOpen();
        options.onClosed(reason);
      },
    });
  }

  get submitsOpen(): number {
    return this.#shares.size;
  }

  /** Monotonic milliseconds at which the oldest open submit was sent; null when all are answered. */
  get oldestSubmitMs(): number | null {
    return this.#shares.values().next().value?.sentMs ?? null;
  }

  /** Sends shares in one packet. `shouts`: in capitals, which makes the same share of it. */
  submit(shares: readonly Share[], shouts: boolean): void {
    const nowMs = performance.now();
    let lines = '';
    for (const share of shares) {
      const id = this.#nextId++;
      this.#shares.set(id, { share, sentMs: nowMs });
      const { job, extranonce2, nonce, versionBits, worker } = share;
      const cased = (hex: string): string => (shouts ? hex.toUpperCase() : hex);
      const params = [
        this.#options.users[worker],
        job.jobId,
        cased(bytesToHex(extranonce2)),
        cased(wordHex(job.time)),
        cased(wordHex(nonce)),
        ...(this.versionMask === 0 ? [] : [cased(wordHex(versionBits))]),
      ];
      lines += `${JSON.stringify({ id, method: 'mining.submit', params })}\n`;
    }
    this.#link.write(lines);
  }

  request({ method, params }: Request): void {
    this.#link.write(this.#line({ method, params }));
  }

  pause(): void {
    this.#link.pause();
  }

  resume(): void {
    this.#link.resume();
  }

  /** Ends the session from the miner's side. @returns what it takes to go on later; null when it never began */
  leave(manner: 'hang_up' | 'cut'): KeptSession | null {
    if (this.#over) return this.#kept();
    this.#settleOpen();
    if (manner === 'cut') this.#link.cut();
    else this.#link.hangUp();
    return this.#kept();
  }

  #kept(): KeptSession | null {
    if (this.#sessionId === '') return null;
    return {
      id: this.#sessionId,
      extranonce1: this.#extranonce1,
      extranonce2Bytes: this.#extranonce2Bytes,
      versionMask: this.versionMask,
      jobs: [...this.jobs],
    };
  }

  #settleOpen(): void {
    this.#over = true;
    this.ready = false;
    for (const { share } of this.#shares.values()) this.#options.onAnswer(share, UNANSWERED);
    this.#shares.clear();
  }

  #ask(): void {
    const requests = this.#options.asksAtOnce ? this.#asked.splice(0) : this.#asked.splice(0, 1);
    if (requests.length > 0) this.#link.write(requests.map((request) => this.#line(request)).join(''));
  }

  #line(request: Request): string {
    const id = this.#nextId++;
    this.#requests.set(id, request);
    return `${JSON.stringify({ id, ...request })}\n`;
  }

  #take(chunk: Uint8Array): void {
    try {
      this.#lines.push(chunk, (line) => {
        if (!this.#over) this.#takeLine(line);
      });
    } catch (error) {
      this.#options.onFault(`what it sent cannot be read: ${(error as Error).message}`);
    }
  }

  #takeLine(line: string): void {
    const message = JSON.parse(line) as Record<string, unknown>;
    const { id, method, params, result, error } = message;
    if (this.#difficultyCameAlone && method !== 'mining.notify') {
      this.#difficultyCameAlone = false;
      this.#options.onFault('a new difficulty came without a new job');
    }
    if (typeof method === 'string') {
      this.#takeCall(method, Array.isArray(params) ? params : []);
      return;
    }
    const open = this.#shares.get(id as number);
    if (open !== undefined) {
      this.#shares.delete(id as number);
      const [code, reason] = Array.isArray(error) ? error : [];
      const accepted = result === true && error === null;
      const answer = accepted ? ACCEPTED : answerOf(code, reason);
      if (answer === UNKNOWN_ANSWER) this.#options.onFault(`an answer without sense: ${cut(line)}`);
      this.#options.onAnswer(open.share, answer);
      return;
    }
    const request = this.#requests.get(id as number);
    if (request === undefined) {
      this.#options.onFault(`an answer to nothing that was asked: ${cut(line)}`);
      return;
    }
    this.#requests.delete(id as number);
    if (error !== null) this.#options.onFault(`${request.method} was refused: ${cut(line)}`);
    else this.#takeResult(request, result);
  }

  #takeResult({ method }: Request, result: unknown): void {
    if (method === 'mining.subscribe') this.#takeSubscription(result as [[string, string][], string, number]);
    if (method === 'mining.configure') {
      const reply = result as Record<string, unknown>;
      if (reply['version-rolling'] === true) {
        this.versionMask = wordField(reply['version-rolling.mask'], 'the version mask');
      } else this.#options.onFault('version rolling was declined');
    }
    if (this.#asked.length > 0) this.#ask();
    else if (this.#requests.size === 0) this.ready = true;
  }

  #takeSubscription([details, extranonce1, extranonce2Bytes]: [[string, string][], string, number]): void {
    const { resumes, onFault } = this.#options;
    hexField(extranonce1, 'an extranonce1');
    this.#sessionId = details[0]?.[1] ?? '';
    this.#extranonce1 = extranonce1;
    this.#extranonce2Bytes = extranonce2Bytes;
    if (resumes === null) return;
    this.resumed = extranonce1 === resumes.extranonce1;
    if (!this.resumed) {
      onFault(
        `a session was not taken up again: extranonce1 ${extranonce1} instead of ${resumes.extranonce1}`,
      );
      return;
    }
    this.jobs.push(...resumes.jobs);
    if (this.versionMask === 0) this.versionMask = resumes.versionMask;
  }

  #takeCall(method: string, params: readonly unknown[]): void {
    switch (method) {
      case 'mining.notify':
        this.#takeJob(params);
        return;
      case 'mining.set_difficulty': {
        const difficulty = params[0] as number;
        this.#targetLE = targetToBytesLE(targetFromDifficulty(difficulty));
        this.#difficulty = difficulty;
        this.#difficultyCameAlone = true;
        this.#difficulties++;
        if (this.#difficulties > 1) this.#options.onRetarget();
        return;
      }
      case 'mining.set_version_mask':
        this.versionMask = (wordField(params[0], 'the version mask') & VERSION_MASK) >>> 0;
        return;
      default:
        this.#options.onFault(`it sent ${cut(method)} to a miner that did nothing wrong`);
    }
  }

  #takeJob(params: readonly unknown[]): void {
    const { onFault } = this.#options;
    this.#difficultyCameAlone = false;
    if (this.#difficulty === 0 || this.#extranonce1 === '') {
      onFault('a job came before difficulty and extranonce1');
      return;
    }
    const job = parseNotify(params, {
      difficulty: this.#difficulty,
      targetLE: this.#targetLE,
      extranonce1: hexToBytes(this.#extranonce1),
      extranonce2Bytes: this.#extranonce2Bytes,
    });
    if (this.jobs.some(({ jobId }) => jobId === job.jobId)) onFault(`job ${job.jobId} was sent twice`);
    // Of a session that was taken up again the last job may have been lost on the way: its first one tells nothing.
    const before = this.#newest;
    if (before !== null && sameBytes(before.previousHash, job.previousHash) === job.cleanJobs) {
      onFault(`clean_jobs is ${job.cleanJobs} where the tip ${job.cleanJobs ? 'has not' : 'has'} moved`);
    }
    this.#newest = job;
    this.jobs.push(job);
    if (this.jobs.length > JOBS_KEPT) this.jobs.shift();
    this.#options.onJob(job);
  }
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function configureRequest(): Request {
  const options = {
    'version-rolling.mask': wordHex(VERSION_MASK),
    'version-rolling.min-bit-count': 2,
  };
  return { method: 'mining.configure', params: [['version-rolling'], options] };
}

function cut(text: string): string {
  return text.slice(0, SHOWN_CHARACTERS);
}
