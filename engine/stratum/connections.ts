// All connections of one thread: who may come in, what goes out and when, who has to leave. Bytes and lines pass
// through Connection and Session; this decides about them as a whole: one write per socket per turn of the loop, jobs
// to everybody in slices, the sweep that holds deadlines, retargets, slow readers and bad conduct.
import type { BlockList } from 'node:net';
import { Admission, type AdmissionCaps } from './admission.js';
import { BackPressure, IN_FLIGHT_MAX } from './back-pressure.js';
import { type Ban, BanList } from './ban-list.js';
import { Broadcast } from './broadcast.js';
import { StrikeMemory } from './conduct.js';
import { Connection, type ConnectionOwner } from './connection.js';
import type { BoardJob } from './job-board.js';
import type { PortProfile } from './port-profile.js';
import { Session } from './v1/session.js';
import type { SessionHost } from './v1/session-host.js';
import type { Wire, WireOwner } from './wire.js';

export interface ConnectionsOptions {
  caps: AdmissionCaps;
  /** Seconds that the first ban of an address lasts; 0: nobody is banned. */
  banSeconds: number;
  /** Who is never banned. */
  neverBanned: BlockList;
  /** Monotonic milliseconds. */
  nowMs: () => number;
  /** Wall clock microseconds. */
  nowUs: () => number;
  /** Key of the oldest job that is remembered. */
  oldestJobKey: () => number;
  /** What sessions ask of the thread. */
  host: SessionHost;
  /** The session is closed for good; shares of it may still be in judgement. */
  onLeft: (session: Session) => void;
  log: (level: 'info' | 'warn' | 'error', message: string) => void;
}

export interface TipSpeed {
  /** Epoch milliseconds. */
  readonly seenAtMs: number;
  readonly connections: number;
  /** From then until the first slice and the last one were handed to the kernel. */
  firstMs: number;
  lastMs: number;
}

const SUBSCRIBE_WITHIN_MS = 15_000;
const AUTHORIZE_WITHIN_MS = 30_000;
/** Each connection is looked at once in a second, a part of them at a time. */
const SWEEPS_A_SECOND = 10;
/** Sessions that threw are logged no more often: whoever found out how could fill the disk. */
const LOG_FAILED_EVERY_MS = 60_000;
/** More than this part of the proven miners with strikes: the fault is ours, and nobody is dropped for it. */
const OUR_FAULT = 1 / 2;
const OUR_FAULT_SESSIONS = 8;

export class Connections implements ConnectionOwner {
  readonly #options: ConnectionsOptions;
  readonly #admission: Admission;
  readonly #bans: BanList;
  readonly #strikes = new StrikeMemory();
  readonly #pressure = new BackPressure();
  readonly #all = new Map<Session, Connection>();
  readonly #closed: Record<string, number> = {};
  readonly #broadcast: Broadcast<Session>;
  #dirty: Connection[] = [];
  #flushScheduled = false;
  #accepted = 0;
  #nextSession = 1;
  #draining = false;
  #sweeping: IterableIterator<Connection> | null = null;
  /** In this sweep: sessions that have done good work, those of them with strikes, and those with bad work only. */
  #proven = 0;
  #struck = 0;
  #unproven = 0;
  #blameable = true;
  #waitsForJob = false;
  #newest: BoardJob | null = null;
  #failedLoggedAt = Number.NEGATIVE_INFINITY;
  #tip: TipSpeed | null = null;
  #tipUnderWay: TipSpeed | null = null;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.#admission = new Admission(options.caps);
    this.#bans = new BanList(options.nowMs, options.neverBanned);
    this.#broadcast = new Broadcast(
      (session) => this.#giveNewest(session),
      () => this.#sliceSent(),
    );
  }

  /** Connections now. */
  get count(): number {
    return this.#all.size;
  }

  /** Accepted since the start. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Closed or refused since the start, by reason. */
  get closed(): Readonly<Record<string, number>> {
    return this.#closed;
  }

  /** Connections with at least one authorized worker. */
  get authorized(): number {
    return this.#admission.connections - this.#admission.pending;
  }

  get bans(): Ban[] {
    return this.#bans.list();
  }

  /** True when, in the last sweep, a session waited for a job it has not been sent. */
  get waitsForJob(): boolean {
    return this.#waitsForJob;
  }

  /** How fast the last new tip reached everybody; null before the first. */
  get tip(): TipSpeed | null {
    return this.#tip;
  }

  nowUs(): number {
    return this.#options.nowUs();
  }

  mayRead(connection: Connection): boolean {
    return this.#pressure.mayRead(connection);
  }

  readonly accept = (wire: Wire, port: PortProfile): WireOwner | null => {
    if (this.#draining) return this.#refuse('shutdown');
    if (this.#bans.isBanned(wire.remote)) return this.#refuse('banned');
    const admitted = this.#admission.admit(wire.remote);
    if (!admitted.ok) return this.#refuse(admitted.reason);
    this.#accepted++;
    const session = new Session(this.#options.host, this.#nextSession++, wire.remote, port);
    const connection = new Connection(this, wire, session, admitted.ticket);
    this.#all.set(session, connection);
    return connection;
  };

  /** A worker of the session is authorized for the first time. */
  sessionAuthorized(session: Session): void {
    const connection = this.#all.get(session);
    if (connection === undefined) return;
    connection.ticket.authorized();
    connection.guard.authorized();
    this.#strikes.recall(minerOf(connection), connection.conduct, this.#options.nowMs());
  }

  /** Goes out at the end of this turn. */
  send(session: Session, line: string): void {
    const connection = this.#all.get(session);
    if (connection === undefined) return;
    connection.out += line;
    this.#mark(connection);
  }

  /** The same bytes for many; after what was sent before. */
  sendShared(session: Session, line: Buffer): void {
    const connection = this.#all.get(session);
    if (connection === undefined) return;
    if (connection.out !== '') {
      connection.out += line.toString('latin1');
      return;
    }
    connection.wire.writeShared(line);
  }

  /** After a share was handed to the share path: a session may have so many in flight. */
  limitInFlight(session: Session): void {
    if (session.inFlight >= IN_FLIGHT_MAX) this.#all.get(session)?.wire.pause();
  }

  /** Closes a session; what was sent still goes out. */
  close(session: Session, reason: string): void {
    const connection = this.#all.get(session);
    if (connection !== undefined) this.end(connection, reason);
  }

  end(connection: Connection, reason: string): void {
    if (connection.session.closed) return;
    connection.wire.end(connection.out);
    connection.out = '';
    this.gone(connection, reason);
  }

  gone(connection: Connection, reason: string): void {
    const { session } = connection;
    if (!this.#all.delete(session)) return;
    this.#closed[reason] = (this.#closed[reason] ?? 0) + 1;
    if (session.authorized) {
      this.#strikes.keep(minerOf(connection), connection.conduct, this.#options.nowMs());
    }
    connection.ticket.release();
    this.#pressure.forget(connection);
    this.#options.onLeft(session);
  }

  failed(connection: Connection, error: unknown): void {
    this.end(connection, 'failed');
    const now = this.#options.nowMs();
    if (now - this.#failedLoggedAt < LOG_FAILED_EVERY_MS) return;
    this.#failedLoggedAt = now;
    const { stack } = error as Error;
    this.#options.log('error', `a session failed and was closed, others go on; please report this: ${stack}`);
  }

  /** Writes out what the turn has brought, one write a connection. */
  flush(): void {
    this.#flushScheduled = false;
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const connection of dirty) {
      connection.dirty = false;
      if (connection.session.closed) continue;
      if (connection.out !== '') {
        const { out } = connection;
        connection.out = '';
        connection.wire.write(out);
      }
      this.#pressure.regulate(connection);
    }
    this.#pressure.wake();
  }

  /**
   * A job for everybody.
   * @param spread over seconds, since the old work is still good
   * @param tipSeenAtMs when the pool heard of its tip, epoch milliseconds; null where the tip is not new
   */
  putUpForAll(job: BoardJob, spread: boolean, tipSeenAtMs: number | null): void {
    this.#newest = job;
    this.#tipUnderWay =
      tipSeenAtMs === null
        ? null
        : { seenAtMs: tipSeenAtMs, connections: this.#all.size, firstMs: 0, lastMs: 0 };
    this.#broadcast.begin(this.#all.keys(), spread);
  }

  /** A job for those that wait for one. */
  putUpForWaiting(job: BoardJob): void {
    this.#newest = job;
    for (const session of this.#all.keys()) if (session.waitsForJob) this.#giveNewest(session);
    this.flush();
  }

  /** To be called ten times a second: looks at a tenth of the connections. */
  sweep(): void {
    let left = Math.ceil(this.#all.size / SWEEPS_A_SECOND);
    this.#sweeping ??= this.#beginSweep();
    for (; left > 0; left--) {
      const next = this.#sweeping.next();
      if (next.done === true) {
        this.#sweeping = null;
        break;
      }
      try {
        this.#look(next.value);
      } catch (error) {
        this.failed(next.value, error);
      }
    }
    this.flush();
  }

  /** Stops reading, so that what is in flight can be answered. */
  drain(): void {
    this.#draining = true;
    this.#pressure.stopped = true;
    for (const { wire } of this.#all.values()) wire.pause();
  }

  closeAll(reason: string): void {
    for (const connection of [...this.#all.values()]) this.end(connection, reason);
  }

  #sliceSent(): void {
    this.flush();
    const tip = this.#tipUnderWay;
    if (tip === null) return;
    const tookMs = this.#options.nowUs() / 1000 - tip.seenAtMs;
    if (tip.firstMs === 0) tip.firstMs = tookMs;
    if (this.#broadcast.running) return;
    tip.lastMs = tookMs;
    this.#tip = tip;
    this.#tipUnderWay = null;
  }

  #refuse(reason: string): null {
    this.#closed[reason] = (this.#closed[reason] ?? 0) + 1;
    return null;
  }

  #mark(connection: Connection): void {
    if (connection.dirty) return;
    connection.dirty = true;
    this.#dirty.push(connection);
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(this.#flushLater);
  }

  readonly #flushLater = (): void => {
    if (this.#flushScheduled) this.flush();
  };

  #giveNewest(session: Session): void {
    const connection = this.#all.get(session);
    if (connection === undefined || this.#newest === null) return;
    if (!connection.outbox.mayQueueJob(connection.wire.unsentBytes)) return;
    try {
      session.sendJob(this.#newest);
    } catch (error) {
      this.failed(connection, error);
    }
    connection.outbox.jobSent();
  }

  #beginSweep(): IterableIterator<Connection> {
    // Many proven miners with bad work at once: a job of ours is broken. Offering new jobs is right, dropping is not.
    // Strangers do not count, or a crowd of them would shield itself; only while nobody is proven they are all we know.
    const few = (this.#proven === 0 ? this.#unproven : this.#proven) < OUR_FAULT_SESSIONS;
    this.#blameable = few || (this.#proven > 0 && this.#struck <= this.#proven * OUR_FAULT);
    this.#proven = 0;
    this.#struck = 0;
    this.#unproven = 0;
    this.#waitsForJob = false;
    return this.#all.values();
  }

  #look(connection: Connection): void {
    const { session, wire, outbox } = connection;
    const now = this.#options.nowMs();
    const age = now - session.connectedAtMs;
    if (!session.subscribed && age > SUBSCRIBE_WITHIN_MS) {
      this.end(connection, 'no_subscribe');
      return;
    }
    if (!session.authorized && age > AUTHORIZE_WITHIN_MS) {
      this.end(connection, 'no_authorize');
      return;
    }
    const queue = outbox.onTick(now, wire.unsentBytes);
    if (queue === 'stuck') {
      wire.destroy();
      this.gone(connection, 'not_reading');
      return;
    }
    if (queue === 'send_job') this.#giveNewest(session);
    this.#pressure.look(connection);
    this.#judge(connection, now);
    session.forgetJobsBelow(this.#options.oldestJobKey());
    session.retarget();
    this.#waitsForJob ||= session.waitsForJob;
  }

  #judge(connection: Connection, now: number): void {
    const { session, conduct } = connection;
    const { validShares, invalidShares } = session;
    const judgement = conduct.judge(now, validShares, invalidShares);
    if (validShares > 0) this.#proven++;
    else if (invalidShares > 0) this.#unproven++;
    if (validShares > 0 && conduct.strikes > 0) this.#struck++;
    if (judgement === 'new_job') session.renewJob();
    else if (judgement === 'reconnect') session.reconnect();
    else if (judgement === 'drop' && this.#blameable) this.#drop(connection);
  }

  #drop(connection: Connection): void {
    const { wire, ticket } = connection;
    const { banSeconds, log } = this.#options;
    connection.session.showMessage('Closed: nothing but bad shares for minutes. Check hardware and settings');
    this.end(connection, 'bad_work');
    // A ban would hit the whole farm of a broken machine.
    if (banSeconds === 0 || ticket.neighbours > 0) return;
    const lasts = this.#bans.ban(wire.remote, banSeconds, 'bad work');
    if (lasts > 0) log('warn', `${wire.remote} sent nothing but bad work: banned for ${Math.round(lasts)} s`);
  }
}

/** What counts as the same miner over a reconnect. */
function minerOf({ wire, session }: Connection): string {
  const [user = ''] = session.workers.keys();
  return `${wire.remote} ${user}`;
}
