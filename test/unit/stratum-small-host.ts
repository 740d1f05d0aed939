// A host of sessions for tests: the job board, extranonce leases, closed sessions and the memory of difficulties are
// the real ones, wired as the connection thread wires them; sockets are lists of what was said. Shares are settled by
// the share path it is given, or only noted.
import type { SharePath } from '../../engine/shares/share-path.js';
import type { ShareTarget } from '../../engine/shares/submission.js';
import { DifficultyMemory } from '../../engine/stratum/difficulty-memory.js';
import { type BoardJob, JobBoard } from '../../engine/stratum/job-board.js';
import type { PortProfile } from '../../engine/stratum/port-profile.js';
import { type KeptSession, ResumableSessions } from '../../engine/stratum/resumption.js';
import type { JobMessage } from '../../engine/stratum/thread-messages.js';
import type { UserName } from '../../engine/stratum/user-name.js';
import { Session } from '../../engine/stratum/v1/session.js';
import type { SessionHost, SessionRefusal, SessionShare } from '../../engine/stratum/v1/session-host.js';
import { ExtranonceLeases } from '../../engine/work/extranonce.js';
import type { ShareVerdict } from '../../engine/work/verdict.js';
import { createSlab } from '../../wasm/kernel.js';

export const ADDRESS = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
export const PORT: PortProfile = {
  ...{ name: 'stratum', port: 3333, kind: 'tcp' },
  ...{ startDifficulty: null, minDifficulty: null, maxDifficulty: null },
};
export const CURTIME = 1_700_000_000;
export const MINTIME = CURTIME - 1000;
const KEEP_MS = 600_000;

// biome-ignore lint/suspicious/noExplicitAny: whatever a line of JSON may hold
export type Line = Record<string, any>;

export class SmallHost implements SessionHost {
  readonly network = 'regtest';
  readonly extranonce2Bytes = 8;
  startDifficulty = 1000;
  difficultyFloor = 1;
  difficultyCeiling = 1e9;
  vardiff: SessionHost['vardiff'] = { sharesPerMinute: 18 };
  readonly software = 'millrace/1.2.3';

  clockMs = 0;
  readonly memory = createSlab();
  /** Null: shares are noted and nobody answers them. */
  sharePath: SharePath | null = null;
  readonly leases = new ExtranonceLeases({ lane: 0, epoch: 0 });
  readonly resumables: ResumableSessions;
  readonly difficulties: DifficultyMemory;
  readonly board: JobBoard;
  /** Called as the thread tells its share path and journal. */
  onPutUp: (job: BoardJob) => void = () => {};
  onStale: (job: BoardJob) => void = () => {};
  onDead: (job: BoardJob) => void = () => {};
  readonly connected = new Set<Session>();
  readonly out = new Map<Session, Line[]>();
  readonly shares: { share: SessionShare; target: ShareTarget }[] = [];
  readonly refusals: SessionRefusal[] = [];
  readonly unjournaled: ShareVerdict[] = [];
  readonly agents: string[] = [];
  readonly closed: string[] = [];
  readonly warnings: string[] = [];
  jobsNeeded = 0;
  nextIdentity = 1;
  #nextSession = 1;
  #nextKey = 1;

  constructor(resumablesMax = 100) {
    const nowMs = () => this.clockMs;
    this.resumables = new ResumableSessions({
      limit: resumablesMax,
      keepMs: KEEP_MS,
      nowMs,
      onGone: ({ extranonce1 }) => this.leases.release(extranonce1, this.board.current?.key ?? 0),
    });
    this.difficulties = new DifficultyMemory({ limit: 100, ageMaxMs: 86_400_000, nowMs });
    this.board = new JobBoard({
      memory: this.memory,
      extranonceBytes: 12,
      nowMs,
      onStale: (job) => this.onStale(job),
      onDead: (job) => this.onDead(job),
    });
  }

  nowMs(): number {
    return this.clockMs;
  }

  currentJob(): BoardJob | null {
    return this.board.current;
  }

  findJob(id: string): BoardJob | undefined {
    return this.board.find(id);
  }

  leaseExtranonce1(): Uint8Array | null {
    return this.leases.lease();
  }

  takeClosedSession(id: string): KeptSession | null {
    return this.resumables.take(id);
  }

  defineIdentity(_name: UserName, agent: string): number {
    this.agents.push(agent);
    return this.nextIdentity++;
  }

  recallDifficulty({ account, worker }: UserName): number | null {
    return this.difficulties.recall(`${account}.${worker}`);
  }

  rememberDifficulty({ account, worker }: UserName, difficulty: number): void {
    this.difficulties.remember(`${account}.${worker}`, difficulty);
  }

  needJob(): void {
    this.jobsNeeded++;
  }

  submitShare(session: Session, share: SessionShare, target: ShareTarget): void {
    this.shares.push({ share: { ...share, extranonce2: share.extranonce2.slice() }, target });
    this.sharePath?.submit({
      ...{ owner: session, target, extranonce1: session.extranonce1, stale: share.job.stale },
      ...share,
    });
  }

  refuseShare(session: Session, refusal: SessionRefusal, target: ShareTarget | null): void {
    this.refusals.push(refusal);
    this.sharePath?.refuse({ owner: session, jobKey: refusal.job?.key ?? 0, target, version: 0, ...refusal });
  }

  countUnjournaled(verdict: ShareVerdict): void {
    this.unjournaled.push(verdict);
  }

  send(session: Session, line: string): void {
    if (!line.endsWith('\n') || line.indexOf('\n') !== line.length - 1)
      throw new Error(`not one line: ${line}`);
    if (/[^\n -~]/.test(line)) throw new Error(`not printable: ${line}`);
    this.out.get(session)?.push(JSON.parse(line) as Line);
  }

  sendShared(session: Session, line: Buffer): void {
    this.send(session, line.toString('latin1'));
  }

  authorized(): void {}

  warnOnce(message: string): void {
    this.warnings.push(message);
  }

  close(session: Session, reason: string): void {
    this.closed.push(reason);
    this.disconnect(session);
  }

  connect(port: PortProfile = PORT): Peer {
    const session = new Session(this, this.#nextSession++, '127.0.0.1', port);
    this.connected.add(session);
    this.out.set(session, []);
    return new Peer(this, session);
  }

  disconnect(session: Session): void {
    if (!this.connected.delete(session)) return;
    const kept = session.leave();
    if (kept !== null) this.resumables.keep(session.sessionId, kept);
  }

  /** Puts a job up and sends it to everybody, or to those who wait for one. */
  putUp(overrides: Partial<JobMessage> = {}, audience: 'all' | 'retarget' = 'all'): BoardJob {
    const job = this.board.add(jobMessage(this.#nextKey++, overrides), audience === 'all');
    this.onPutUp(job);
    for (const session of this.connected) {
      session.forgetJobsBelow(this.board.oldestKey);
      if (audience === 'all' || session.waitsForJob) session.sendJob(job);
    }
    this.leases.expire(this.board.oldestKey);
    return job;
  }
}

/** The other end of a session. */
export class Peer {
  readonly host: SmallHost;
  readonly session: Session;

  constructor(host: SmallHost, session: Session) {
    this.host = host;
    this.session = session;
  }

  /** Sends lines in one burst. @returns all that was said to this peer because of them. */
  say(...lines: (string | Line)[]): Line[] {
    this.heard();
    for (const line of lines) {
      const text = typeof line === 'string' ? line : JSON.stringify(line);
      this.session.handleLine(Buffer.from(text), 0);
    }
    this.session.endOfInput();
    return this.heard();
  }

  /** What was said since the peer last listened. */
  heard(): Line[] {
    return this.host.out.get(this.session)?.splice(0) ?? [];
  }

  /** One request; its reply, and what came with it. */
  ask(method: string, params: unknown = [], id: unknown = 1): { reply: Line; rest: Line[] } {
    const [reply, ...rest] = this.say({ id, method, params });
    if (reply === undefined) throw new Error(`no reply to ${method}`);
    return { reply, rest };
  }

  /** Subscribes and authorizes in one burst; what was told in the end. */
  mine(options: { user?: string; password?: string; resume?: string } = {}): Line[] {
    const { user = `${ADDRESS}.rig`, password = 'x', resume = null } = options;
    return this.say(
      { id: 1, method: 'mining.subscribe', params: ['test/1.0', resume] },
      { id: 2, method: 'mining.authorize', params: [user, password] },
    );
  }

  submit(
    job: BoardJob,
    nonce: number,
    fields: { user?: string; versionBits?: string; id?: unknown } = {},
  ): void {
    const { user = `${ADDRESS}.rig`, versionBits, id = 9 } = fields;
    const params = [user, job.message.id, '0011223344556677', hexWord(CURTIME), hexWord(nonce)];
    if (versionBits !== undefined) params.push(versionBits);
    this.session.handleLine(Buffer.from(JSON.stringify({ id, method: 'mining.submit', params })), 0);
    this.session.endOfInput();
  }

  disconnect(): void {
    this.host.disconnect(this.session);
  }
}

export function hexWord(value: number): string {
  return value.toString(16).padStart(8, '0');
}

/** Difficulties told in `lines`, in order. */
export function difficultiesIn(lines: readonly Line[]): number[] {
  return lines.filter(({ method }) => method === 'mining.set_difficulty').map(({ params }) => params[0]);
}

/** Ids of the jobs in `lines`, in order. */
export function jobsIn(lines: readonly Line[]): string[] {
  return lines.filter(({ method }) => method === 'mining.notify').map(({ params }) => params[0]);
}

function jobMessage(key: number, overrides: Partial<JobMessage>): JobMessage {
  const id = key.toString(16);
  const notify = (clean: boolean) => `{"id":null,"method":"mining.notify","params":["${id}",${clean}]}\n`;
  return {
    ...{ key, id, height: 10, previousBlockHash: '11'.repeat(32), previousBlock: new Uint8Array(32).fill(5) },
    ...{
      version: 0x20000000,
      bits: 0x207fffff,
      networkTargetLE: new Uint8Array(32),
      networkDifficulty: 1e12,
    },
    ...{ curtime: CURTIME, mintime: MINTIME },
    // As in every job of the pool, its key is in the coinbase: no two jobs give the same header.
    coinbase1: new Uint8Array(70).fill(key & 0xff),
    coinbase2: new Uint8Array(90).fill(2),
    branch: [new Uint8Array(32).fill(3), new Uint8Array(32).fill(4)],
    ...{ notify: notify(false), notifyClean: notify(true) },
    ...overrides,
  };
}
