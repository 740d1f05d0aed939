// One miner's connection as Stratum V1 sees it: what was negotiated, which difficulty each job was sent
// with, and the dispatch of requests. Knows no socket: lines come in, `send` takes what goes out. Each
// request gets exactly one reply; whatever arrives, nothing is thrown out of `handleLine`.

import type { NetworkName } from '../../bitcoin/networks.js';
import { targetFromDifficulty, targetToBytesLE } from '../../bitcoin/target.js';
import type { ShareOwner, ShareTarget } from '../../shares/share-path.js';
import { Vardiff, type VardiffSettings } from '../../work/vardiff.js';
import { type ShareVerdict, type VerdictFacts, verdictByName } from '../../work/verdict.js';
import type { BoardJob } from '../job-board.js';
import type { UserName } from '../user-name.js';
import { authorize } from './methods/authorize.js';
import { configure } from './methods/configure.js';
import { submit, submitScanned } from './methods/submit.js';
import { subscribe } from './methods/subscribe.js';
import { errorLine, notificationLine, resultLine, StratumError } from './reply.js';
import { SubmitParts, scanSubmit } from './submit-scanner.js';

/** What a session needs of the thread it lives in. */
export interface SessionHost {
  readonly network: NetworkName;
  readonly extranonce2Bytes: number;
  /** Difficulty a new session starts with. */
  readonly startDifficulty: number;
  /** null: difficulty stays where it is. */
  readonly vardiff: VardiffSettings | null;
  /** Monotonic milliseconds. */
  nowMs(): number;
  currentJob(): BoardJob | null;
  findJob(id: string): BoardJob | undefined;
  leaseExtranonce1(): Uint8Array | null;
  /** Registers who submits in the journal. */
  defineIdentity(name: UserName, agent: string, remote: string): number;
  submitShare(session: Session, share: SessionShare, target: ShareTarget): void;
  refuseShare(session: Session, refusal: SessionRefusal, target: ShareTarget | null): void;
  /** A verdict that is answered but not journaled (the peer never proved to be a miner). */
  countUnjournaled(verdict: ShareVerdict): void;
  send(session: Session, line: string): void;
  close(session: Session, reason: string): void;
}

export interface SessionShare {
  requestId: string;
  identity: number;
  job: BoardJob;
  extranonce2: Uint8Array;
  version: number;
  ntime: number;
  nonce: number;
  receivedUs: number;
}

export interface SessionRefusal {
  requestId: string;
  identity: number;
  job: BoardJob | undefined;
  verdict: ShareVerdict;
  ntime: number;
  nonce: number;
  receivedUs: number;
}

/** From this job on, shares of the session are judged by this target. */
interface Announcement extends ShareTarget {
  fromJob: number;
}

/** Unreadable lines a session may send before it is closed. */
const MALFORMED_MAX = 10;
/** Replies are written as Latin-1. */
const ID = /^[ -~]{0,64}$/;
const ACCEPTED = verdictByName('accepted');
const STORAGE_FAILED = verdictByName('storage_failed');
const NOTHING = Buffer.alloc(0);
/** Reused for every line: nothing is kept of it after `handleLine`. */
const PARTS = new SubmitParts();

export class Session implements ShareOwner {
  readonly sessionNumber: number;
  readonly remote: string;
  /** Monotonic milliseconds at which the connection was accepted. */
  readonly connectedAtMs: number;
  readonly extranonce2Bytes: number;
  readonly network: NetworkName;
  /** User name as authorized -> journal identity. */
  readonly workers = new Map<string, number>();
  readonly names = new Map<number, UserName>();
  extranonce1: Uint8Array = new Uint8Array(0);
  subscribed = false;
  versionMask = 0;
  /** The user and job that were named last, as bytes: most submits name them again. */
  recentUser: Buffer = NOTHING;
  recentIdentity = 0;
  recentJobId: Buffer = NOTHING;
  recentJob: BoardJob | null = null;
  closed = false;
  /** Shares handed to the share path and not answered yet. */
  inFlight = 0;

  readonly #host: SessionHost;
  #agent = '';
  #announcements: Announcement[] = [];
  #vardiff: Vardiff | null = null;
  /** Difficulty that waits for a job to carry it. */
  #pendingDifficulty: number | null;
  /** What the session should have, were it not for the network difficulty. */
  #wanted: number;
  #malformed = 0;
  #announcedMask = 0;

  constructor(host: SessionHost, sessionNumber: number, remote: string) {
    this.#host = host;
    this.sessionNumber = sessionNumber;
    this.remote = remote;
    this.network = host.network;
    this.extranonce2Bytes = host.extranonce2Bytes;
    this.connectedAtMs = host.nowMs();
    this.#pendingDifficulty = host.startDifficulty;
    this.#wanted = host.startDifficulty;
  }

  get authorized(): boolean {
    return this.workers.size > 0;
  }

  /** Difficulty in force for the newest job; 0 before the first. */
  get difficulty(): number {
    return this.#announcements.at(-1)?.difficulty ?? 0;
  }

  /** True while a new difficulty waits for a job. */
  get waitsForJob(): boolean {
    return this.subscribed && this.#pendingDifficulty !== null;
  }

  /** One line of the peer, without its newline. The bytes are only read during the call. */
  handleLine(line: Buffer, receivedUs: number): void {
    if (this.closed) return;
    if (scanSubmit(line, PARTS) && submitScanned(this, line, PARTS, receivedUs)) return;
    if (line.length === 0 || (line.length === 1 && line[0] === 0x0d)) return;
    let id = 'null';
    try {
      const request = readRequest(line);
      id = request.id;
      this.#dispatch(request.id, request.method, request.params, receivedUs);
    } catch (error) {
      if (!(error instanceof StratumError)) throw error;
      this.#host.send(this, errorLine(id, error.code, error.message));
      if (id === 'null' && ++this.#malformed >= MALFORMED_MAX) this.#host.close(this, 'malformed');
    }
  }

  /** Gives the session its extranonce1 and first job. False when no extranonce is free. */
  subscribe(agent: string): boolean {
    const lease = this.#host.leaseExtranonce1();
    if (lease === null) return false;
    this.extranonce1 = lease;
    this.#agent = agent;
    this.subscribed = true;
    return true;
  }

  authorize(user: string, name: UserName): void {
    const identity = this.#host.defineIdentity(name, this.#agent, this.remote);
    this.workers.set(user, identity);
    this.recentUser = Buffer.from(user);
    this.recentIdentity = identity;
    this.names.set(identity, name);
  }

  #announceVersionMask(): void {
    if (this.versionMask === this.#announcedMask) return;
    this.#announcedMask = this.versionMask;
    const mask = this.versionMask.toString(16).padStart(8, '0');
    this.#host.send(this, notificationLine('mining.set_version_mask', [mask]));
  }

  /**
   * Sends a job; a waiting difficulty goes out right before it, never alone (firmware applies a new
   * difficulty to the jobs it already has). Never call it twice with the same job.
   */
  sendJob(job: BoardJob, clean: boolean): void {
    if (!this.subscribed) return;
    this.#wanted = this.#pendingDifficulty ?? this.#wanted;
    // A share target harder than the network's would hide blocks from the miner. What was wanted is kept:
    // a network difficulty that dips for one block must not lower the session for good.
    const announced = Math.min(this.#wanted, job.message.networkDifficulty);
    if (announced !== this.difficulty) {
      const targetLE = targetToBytesLE(targetFromDifficulty(announced));
      this.#announcements.push({ fromJob: job.key, difficulty: announced, targetLE });
      this.#host.send(this, notificationLine('mining.set_difficulty', [announced]));
    }
    if (this.#vardiff !== null) this.#vardiff.announced(announced, this.#host.nowMs());
    else if (this.#host.vardiff !== null) {
      this.#vardiff = new Vardiff(this.#host.vardiff, announced, this.#host.nowMs());
    }
    this.#pendingDifficulty = null;
    this.#host.send(this, clean ? job.message.notifyClean : job.message.notify);
  }

  /** To be called about once a second: decides whether this miner needs another difficulty. */
  retarget(): void {
    const ceiling = this.#host.currentJob()?.message.networkDifficulty;
    const next = this.#vardiff?.retarget(this.#host.nowMs(), ceiling) ?? null;
    if (next !== null && next !== this.difficulty) this.#pendingDifficulty = next;
  }

  /** Jobs below `oldestKey` are gone: forget what was announced only for them. */
  forgetJobsBelow(oldestKey: number): void {
    while (this.#announcements.length > 1 && (this.#announcements[1] as Announcement).fromJob <= oldestKey) {
      this.#announcements.shift();
    }
  }

  /** The job of that id if it was sent to this session. */
  findJob(id: string): BoardJob | undefined {
    const job = this.#host.findJob(id);
    return job !== undefined && this.#targetOf(job) !== null ? job : undefined;
  }

  submitShare(share: SessionShare): void {
    const target = this.#targetOf(share.job);
    if (target === null) throw new Error('findJob only returns jobs that were announced to this session');
    this.inFlight++;
    this.#host.submitShare(this, share, target);
  }

  refuse(refusal: SessionRefusal): void {
    this.inFlight++;
    this.#host.refuseShare(this, refusal, refusal.job === undefined ? null : this.#targetOf(refusal.job));
  }

  refuseUnjournaled(requestId: string, verdict: ShareVerdict): void {
    this.#host.countUnjournaled(verdict);
    const { stratumCode, reason } = verdictByName(verdict);
    this.#host.send(this, errorLine(requestId, stratumCode, reason));
  }

  settle(requestId: string, verdict: VerdictFacts, difficulty: number): void {
    this.inFlight--;
    if (this.closed) return;
    // Work that we could not store was work all the same: taken for silence, it would lower the difficulty.
    if (verdict === ACCEPTED || verdict === STORAGE_FAILED) {
      this.#vardiff?.onShare(this.#host.nowMs(), difficulty);
    }
    if (verdict === ACCEPTED) {
      this.#host.send(this, `{"id":${requestId},"result":true,"error":null}\n`);
    } else {
      this.#host.send(this, errorLine(requestId, verdict.stratumCode, verdict.reason));
    }
  }

  #targetOf(job: BoardJob): ShareTarget | null {
    for (let i = this.#announcements.length - 1; i >= 0; i--) {
      const announcement = this.#announcements[i] as Announcement;
      if (announcement.fromJob <= job.key) return announcement;
    }
    return null;
  }

  #dispatch(id: string, method: string, params: readonly unknown[], receivedUs: number): void {
    switch (method) {
      case 'mining.submit':
        submit(this, id, params, receivedUs);
        return;
      case 'mining.configure':
        this.#reply(id, configure(this, params));
        this.#announceVersionMask();
        return;
      case 'mining.subscribe': {
        const first = !this.subscribed;
        this.#reply(id, subscribe(this, params));
        const job = this.#host.currentJob();
        if (first && job !== null) this.sendJob(job, true);
        return;
      }
      case 'mining.authorize':
        this.#reply(id, authorize(this, params));
        return;
      default:
        throw new StratumError(20, 'Unknown method');
    }
  }

  #reply(id: string, result: unknown): void {
    this.#host.send(this, resultLine(id, result));
  }
}

/** Reads one request. Throws StratumError 20 for anything that is not one. */
function readRequest(line: Buffer): { id: string; method: string; params: readonly unknown[] } {
  let value: unknown;
  try {
    value = JSON.parse(line.toString('utf8'));
  } catch {
    throw new StratumError(20, 'Malformed JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new StratumError(20, 'A request is a JSON object');
  }
  const { id = null, method, params = [] } = value as Record<string, unknown>;
  const idIsFine =
    id === null || (typeof id === 'number' && Number.isFinite(id)) || (typeof id === 'string' && ID.test(id));
  if (!idIsFine) throw new StratumError(20, 'id must be a number, a short string or null');
  if (typeof method !== 'string') throw new StratumError(20, 'A request needs a method');
  if (!Array.isArray(params)) throw new StratumError(20, 'params must be a list');
  return { id: JSON.stringify(id), method, params };
}
