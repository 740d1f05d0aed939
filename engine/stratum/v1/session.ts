// One miner's connection as Stratum V1 sees it: what was negotiated, who submits, and the dispatch of requests. Knows
// no socket: lines come in, `send` takes what goes out. Each request gets exactly one reply; whatever arrives, nothing
// is thrown out of `handleLine`.

import type { NetworkName } from '../../bitcoin/networks.js';
import type { ShareOwner } from '../../shares/submission.js';
import { DEFAULT_FIRMWARE, firmwareProfile } from '../../work/firmware-profiles.js';
import { type ShareVerdict, type VerdictFacts, verdictByName } from '../../work/verdict.js';
import type { BoardJob } from '../job-board.js';
import type { PortProfile } from '../port-profile.js';
import { type KeptSession, newSessionId } from '../resumption.js';
import type { UserName } from '../user-name.js';
import { submit, submitScanned } from './methods/submit.js';
import { METHODS } from './methods/table.js';
import { errorLine, notificationLine, resultLine, StratumError } from './reply.js';
import { type Request, readRequest } from './request.js';
import { type DifficultySource, SessionDifficulty } from './session-difficulty.js';
import type { SessionHost, SessionRefusal, SessionShare } from './session-host.js';
import { SubmitParts, scanSubmit } from './submit-scanner.js';

/** Unreadable lines a session may send before it is closed. */
const MALFORMED_MAX = 10;
const AGENT_MAX_CHARACTERS = 128;
const MESSAGE_MAX_CHARACTERS = 256;
const ACCEPTED = verdictByName('accepted');
const STORAGE_FAILED = verdictByName('storage_failed');
const NOTHING = Buffer.alloc(0);
/** Reused for every line: nothing is kept of it after `handleLine`. */
const PARTS = new SubmitParts();

export class Session implements ShareOwner {
  readonly sessionNumber: number;
  readonly remote: string;
  readonly port: PortProfile;
  /** Monotonic milliseconds at which the connection was accepted. */
  readonly connectedAtMs: number;
  readonly extranonce2Bytes: number;
  readonly network: NetworkName;
  /** User name as authorized -> journal identity. */
  readonly workers = new Map<string, number>();
  /** Who they are, in the order they were authorized. */
  readonly names: UserName[] = [];
  extranonce1: Uint8Array = new Uint8Array(0);
  /** What the miner may name to take the session up again; 16 hex digits once subscribed. */
  sessionId = '';
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
  /** Accepted submits, and those refused for what the miner did, since it connected. */
  validShares = 0;
  invalidShares = 0;
  /** Monotonic milliseconds of the last accepted share; of the connection before the first. */
  lastValidMs: number;
  /** Lines that were no share: requests, replies, unreadable ones. */
  otherRequests = 0;

  readonly #host: SessionHost;
  readonly #difficulty: SessionDifficulty;
  #agent = '';
  #software = '';
  #firmware = DEFAULT_FIRMWARE;
  #malformed = 0;
  #negotiated = false;
  #announcedMask = 0;
  /** It needs a job it has not seen: its first one, or one that carries a new difficulty. */
  #owesJob = true;
  /** The job is to be found once the bytes at hand are read. */
  #jobDue = false;
  /** Job keys only grow: a job that was sent is never sent again. */
  #lastJobKey = 0;
  /** Previous block of the last job, display order hex; '' before the first. */
  #lastTip = '';

  constructor(host: SessionHost, sessionNumber: number, remote: string, port: PortProfile) {
    this.#host = host;
    this.sessionNumber = sessionNumber;
    this.remote = remote;
    this.port = port;
    this.network = host.network;
    this.extranonce2Bytes = host.extranonce2Bytes;
    this.connectedAtMs = host.nowMs();
    this.lastValidMs = this.connectedAtMs;
    this.#difficulty = new SessionDifficulty(host, port);
  }

  get authorized(): boolean {
    return this.workers.size > 0;
  }

  get software(): string {
    return this.#host.software;
  }

  /** Difficulty in force for the newest job; 0 before the first. */
  get difficulty(): number {
    return this.#difficulty.inForce;
  }

  /** True while the session waits for a job that it was not sent yet. */
  get waitsForJob(): boolean {
    return this.subscribed && this.#owesJob;
  }

  /** One line of the peer, without its newline. The bytes are only read during the call. */
  handleLine(line: Buffer, receivedUs: number): void {
    if (this.closed) return;
    if (scanSubmit(line, PARTS) && submitScanned(this, line, PARTS, receivedUs)) return;
    if (line.length === 0 || (line.length === 1 && line[0] === 0x0d)) return;
    const request = readRequest(line);
    if (request === null) {
      this.otherRequests++;
      return;
    }
    if (!('problem' in request)) {
      this.#dispatch(request, receivedUs);
      return;
    }
    this.otherRequests++;
    this.#host.send(this, errorLine(request.id, 20, request.problem));
    if (++this.#malformed >= MALFORMED_MAX) this.#host.close(this, 'malformed');
  }

  /**
   * To be called when the bytes at hand are read. The first job waits for it: what the same burst says of difficulty
   * (suggestion, password) is then known, and firmware does not get two difficulties in a row.
   */
  endOfInput(): void {
    if (!this.#jobDue || this.closed) return;
    this.#jobDue = false;
    const job = this.#host.currentJob();
    // Without a job the next one goes to everybody.
    if (job === null) return;
    if (job.key > this.#lastJobKey) this.sendJob(job);
    else this.#host.needJob();
  }

  /** Gives the session its extranonce1, that of the closed session `resumes` if there is one. False: none is free. */
  subscribe(agent: string, resumes: string | null): boolean {
    const kept = resumes === null ? null : this.#host.takeClosedSession(resumes);
    const extranonce1 = kept?.extranonce1 ?? this.#host.leaseExtranonce1();
    if (extranonce1 === null) return false;
    this.extranonce1 = extranonce1;
    this.sessionId = kept !== null && resumes !== null ? resumes : newSessionId();
    if (kept !== null) {
      this.#difficulty.resume(kept.difficulty, this.#host.nowMs());
      this.#lastJobKey = kept.lastJobKey;
      this.#lastTip = kept.lastTip;
      if (!this.#negotiated) this.versionMask = kept.versionMask;
    }
    this.#agent = shown(agent, AGENT_MAX_CHARACTERS);
    this.#firmware = firmwareProfile(this.#agent === '' ? this.#software : this.#agent);
    this.subscribed = true;
    this.#jobDue = true;
    return true;
  }

  /** What mining.configure says of the firmware; used where mining.subscribe says nothing. */
  nameFirmware(text: string): void {
    this.#software = shown(text, AGENT_MAX_CHARACTERS);
  }

  authorize(user: string, name: UserName): void {
    const first = !this.authorized;
    const agent = this.#agent === '' ? this.#software : this.#agent;
    const identity = this.#host.defineIdentity(name, agent, this.remote, this.port);
    this.workers.set(user, identity);
    this.recentUser = Buffer.from(user);
    this.recentIdentity = identity;
    this.names.push(name);
    if (first) this.#host.authorized(this);
    // The difficulty of a proxy is that of all its names: it goes by the first one.
    const remembered = first ? this.#host.recallDifficulty(name) : null;
    if (remembered !== null) this.proposeDifficulty(remembered, 'remembered');
  }

  /** Submits under other identities from now on. @param current gives the one that takes the place of another. */
  renewIdentities(current: (identity: number) => number): void {
    for (const [user, identity] of this.workers) this.workers.set(user, current(identity));
    if (this.recentIdentity !== 0) this.recentIdentity = current(this.recentIdentity);
  }

  negotiateVersionMask(mask: number): void {
    this.versionMask = mask;
    this.#negotiated = true;
  }

  proposeDifficulty(difficulty: number, source: DifficultySource): void {
    if (this.#difficulty.propose(difficulty, source, this.#host.nowMs())) this.renewJob();
  }

  setMinimumDifficulty(source: 'configured' | 'password', difficulty: number): void {
    if (this.#difficulty.setMinimum(source, difficulty, this.#host.nowMs())) this.renewJob();
  }

  /** Gives the miner a job it has not seen, as soon as there is one. */
  renewJob(): void {
    this.#owesJob = true;
    this.#jobDue = this.subscribed;
  }

  /** Text for whoever looks at the miner's screen; printable ASCII, cut at 256 characters. */
  showMessage(text: string): void {
    this.#host.send(this, notificationLine('client.show_message', [shown(text, MESSAGE_MAX_CHARACTERS)]));
  }

  /**
   * Asks the miner to connect again, to the same host. Without parameters: cgminer and its kin refuse an empty host
   * name, and a named one is what hijackers send.
   */
  reconnect(): void {
    this.#host.send(this, notificationLine('client.reconnect', []));
  }

  /**
   * Sends a job; a new difficulty goes out right before it, never alone (firmware applies it to the jobs it already
   * has). A job that was sent before is not sent again: firmware starts its extranonce2 anew and finds duplicates.
   * The work of before is thrown away (clean_jobs) only when the tip has moved since the last job of this session.
   */
  sendJob(job: BoardJob): void {
    if (!this.subscribed || job.key <= this.#lastJobKey) return;
    const difficulty = this.#difficulty.announce(job, this.#host.nowMs());
    if (difficulty !== null) this.#host.send(this, notificationLine('mining.set_difficulty', [difficulty]));
    this.#owesJob = false;
    this.#jobDue = false;
    this.#lastJobKey = job.key;
    const { coinbaseBytesMax, name: firmware } = this.#firmware;
    if (job.coinbaseBytes > coinbaseBytesMax) {
      this.#host.warnOnce(
        `${firmware} firmware takes coinbases of ${coinbaseBytesMax} bytes, ours have ${job.coinbaseBytes}: ` +
          'its shares will be wrong. Pay fewer outputs or shorten COINBASE_TAG',
      );
    }
    const clean = job.message.previousBlockHash !== this.#lastTip;
    this.#lastTip = job.message.previousBlockHash;
    this.#host.sendShared(this, clean ? job.notifyClean : job.notify);
  }

  /** To be called about once a second: decides whether this miner needs another difficulty. */
  retarget(): void {
    const networkDifficulty = this.#host.currentJob()?.message.networkDifficulty;
    if (!this.#difficulty.retarget(this.#host.nowMs(), networkDifficulty)) return;
    this.#owesJob = true;
    this.#rememberDifficulty();
  }

  /** Jobs below `oldestKey` are gone: forget what was announced only for them. */
  forgetJobsBelow(oldestKey: number): void {
    this.#difficulty.forgetJobsBelow(oldestKey);
  }

  /** To be called when the connection is gone. @returns what the miner needs to take the session up again. */
  leave(): KeptSession | null {
    this.closed = true;
    this.#rememberDifficulty();
    if (!this.subscribed) return null;
    return {
      extranonce1: this.extranonce1,
      difficulty: this.#difficulty.keep(),
      versionMask: this.versionMask,
      lastJobKey: this.#lastJobKey,
      lastTip: this.#lastTip,
    };
  }

  /** The job of that id if it was announced to this session. */
  findJob(id: string): BoardJob | undefined {
    const job = this.#host.findJob(id);
    return job !== undefined && this.#difficulty.targetOf(job) !== null ? job : undefined;
  }

  submitShare(share: SessionShare): void {
    const target = this.#difficulty.targetOf(share.job);
    if (target === null) throw new Error('findJob only returns jobs that were announced to this session');
    this.inFlight++;
    this.#host.submitShare(this, share, target);
  }

  refuse(refusal: SessionRefusal): void {
    this.inFlight++;
    const target = refusal.job === undefined ? null : this.#difficulty.targetOf(refusal.job);
    this.#host.refuseShare(this, refusal, target);
  }

  refuseUnjournaled(requestId: string, verdict: ShareVerdict): void {
    this.invalidShares++;
    this.#host.countUnjournaled(verdict);
    const { stratumCode, reason } = verdictByName(verdict);
    this.#host.send(this, errorLine(requestId, stratumCode, reason));
  }

  settle(requestId: string, verdict: VerdictFacts, difficulty: number): void {
    this.inFlight--;
    if (this.closed) return;
    if (verdict === ACCEPTED) {
      this.validShares++;
      this.lastValidMs = this.#host.nowMs();
      this.#difficulty.onShare(this.lastValidMs, difficulty);
      this.#host.send(this, `{"id":${requestId},"result":true,"error":null}\n`);
      return;
    }
    // Work that we could not store was work all the same: taken for silence, it would lower the difficulty.
    if (verdict === STORAGE_FAILED) this.#difficulty.onShare(this.#host.nowMs(), difficulty);
    if (verdict.blamesMiner) this.invalidShares++;
    this.#host.send(this, errorLine(requestId, verdict.stratumCode, verdict.reason));
  }

  #dispatch({ id, method, params }: Request, receivedUs: number): void {
    if (method === 'mining.submit') {
      submit(this, id, params, receivedUs);
      return;
    }
    this.otherRequests++;
    // Answer to a ping that some proxy sent in our name.
    if (method === 'mining.pong' && id === 'null') return;
    try {
      const handler = METHODS.get(method);
      if (handler === undefined) throw new StratumError(20, 'Unknown method');
      this.#host.send(this, resultLine(id, handler(this, params)));
    } catch (error) {
      if (!(error instanceof StratumError)) throw error;
      this.#host.send(this, errorLine(id, error.code, error.message));
    }
    this.#announceVersionMask();
  }

  #announceVersionMask(): void {
    if (this.versionMask === this.#announcedMask) return;
    this.#announcedMask = this.versionMask;
    const mask = this.versionMask.toString(16).padStart(8, '0');
    this.#host.send(this, notificationLine('mining.set_version_mask', [mask]));
  }

  /** Only what a miner has proved by work is worth remembering. */
  #rememberDifficulty(): void {
    const [name] = this.names;
    if (name !== undefined && this.validShares > 0) {
      this.#host.rememberDifficulty(name, this.#difficulty.wanted);
    }
  }
}

/** Printable ASCII of it, at most `max` characters. */
function shown(text: string, max: number): string {
  return text.replace(/[^\x20-\x7e]/g, '').slice(0, max);
}
