// The client of the stratum suite, a process of its own so that its CPU time is apart: many cheap Stratum
// connections that submit made-up shares. It takes commands from its parent (swarm-messages.ts), one at a
// time, and reads the pool's CPU time itself, at the very moments between which it counts.
//
// Shares are not hashed: the pool must run with a share target that every hash meets.
import { setTimeout as sleep } from 'node:timers/promises';
import { processCpuMs, taskCpuMs } from './process-usage.js';
import { monotonicMs } from './swarm-clock.js';
import type {
  Connected,
  FromSwarm,
  Left,
  LoadResult,
  SwarmCommand,
  SwarmTarget,
  TipResult,
} from './swarm-messages.js';
import { JobReader, type Swarm, SwarmMiner } from './swarm-miner.js';
import { AckRecord, OwnCores, TipWatch } from './swarm-records.js';
import { SubmitBook } from './swarm-submit.js';

const READ_BUFFER_BYTES = 64 * 1024;
/** TCP connects under way at a time: below the backlog of any pool. */
const CONNECTING_MAX = 256;
const READY_WITHIN_MS = 60_000;
const ANSWERED_WITHIN_MS = 5000;
const TIP_WITHIN_MS = 20_000;
/** Open load before a new tip, so that its submits meet a pool at work. */
const TIP_LEAD_MS = 500;
const STEP_MS = 1;

class Client implements Swarm {
  readonly book = new SubmitBook();
  readonly readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);
  readonly jobs = new JobReader();
  target!: SwarmTarget;
  closedLoop = false;

  #miners: SwarmMiner[] = [];
  #wanted = 0;
  #connecting = 0;
  #ready = 0;
  #answered = 0;
  #accepted = 0;
  #lastRefusal = '';
  #acks: AckRecord | null = null;
  /** Open loop: submits a second, when it began, and how many were sent. */
  #perSecond = 0;
  #openSinceMs = 0;
  #openSent = 0;
  #tip: TipWatch | null = null;
  #failure: string | null = null;

  async run(command: SwarmCommand): Promise<Connected | LoadResult | TipResult | Left> {
    switch (command.type) {
      case 'connect':
        return await this.#connect(command.target, command.connections);
      case 'closed_loop':
        this.closedLoop = true;
        for (const miner of this.#miners) miner.submit(command.inFlight, 0);
        return await this.#measure(command.warmupMs, command.ms);
      case 'open_loop':
        this.#openLoop(command.perSecond);
        return await this.#measure(command.warmupMs, command.ms);
      case 'tip':
        return await this.#newTip(command.perSecond);
      case 'leave':
        return this.#leave();
    }
  }

  // What connections tell.

  onConnected(): void {
    this.#connecting--;
    this.#connectMore();
  }

  onReady(): void {
    this.#ready++;
  }

  onAnswer(plannedMs: number, accepted: boolean): void {
    this.#answered++;
    if (accepted) this.#accepted++;
    if (this.#acks !== null) this.#acks.add(plannedMs, monotonicMs() - plannedMs);
  }

  onRefusal(line: string): void {
    this.#lastRefusal = line;
  }

  onCleanJob(miner: SwarmMiner): void {
    if (this.#tip === null || miner.gotCleanJob) return;
    miner.gotCleanJob = true;
    this.#tip.arrived();
  }

  onTurn(): void {
    if (this.#perSecond > 0) this.#submitDue();
  }

  onFailed(reason: string): void {
    this.#failure ??= reason;
  }

  async #connect(target: SwarmTarget, connections: number): Promise<Connected> {
    this.target = target;
    this.#wanted = connections;
    const startMs = monotonicMs();
    const own = new OwnCores();
    this.#connectMore();
    await this.#until(
      () => this.#ready === connections,
      READY_WITHIN_MS,
      () => `${connections - this.#ready} of ${connections} sessions got no job, or were not authorized`,
    );
    return { readyS: (monotonicMs() - startMs) / 1000, clientCores: own.value };
  }

  #connectMore(): void {
    while (this.#connecting < CONNECTING_MAX && this.#miners.length < this.#wanted) {
      this.#connecting++;
      this.#miners.push(new SwarmMiner(this, this.#miners.length));
    }
  }

  /** Counts while the load that was begun goes on, then ends it. */
  async #measure(warmupMs: number, ms: number): Promise<LoadResult> {
    await sleep(warmupMs);
    this.#check();
    const { pid, withChildren, connectionThread } = this.target;
    const cpuMs = (): number => processCpuMs(pid, withChildren);
    const threadMs = (): number => (connectionThread === null ? 0 : taskCpuMs(pid, connectionThread));
    const before = {
      ms: monotonicMs(),
      answered: this.#answered,
      accepted: this.#accepted,
      cpu: cpuMs(),
      thread: threadMs(),
      own: new OwnCores(),
    };
    await sleep(ms);
    const clientCores = before.own.value;
    const tookMs = monotonicMs() - before.ms;
    const answered = this.#answered - before.answered;
    const accepted = this.#accepted - before.accepted;
    const cpuUs = ((cpuMs() - before.cpu) * 1000) / answered;
    const threadUs = ((threadMs() - before.thread) * 1000) / answered;
    const acks = this.#acks;
    const untilMs = before.ms + tookMs;
    await this.#endLoad();
    if (answered === 0) throw new Error('no submit was answered while it was measured');
    return {
      answered,
      accepted,
      lastRefusal: this.#lastRefusal,
      answeredPerS: (answered * 1000) / tookMs,
      cpuUs,
      connectionThreadUs: connectionThread === null ? null : threadUs,
      clientCores,
      ackMs: acks?.between(before.ms, untilMs).ackMs ?? { p50: 0, p99: 0, p999: 0 },
    };
  }

  #openLoop(perSecond: number): void {
    this.#acks = new AckRecord();
    this.#openSinceMs = monotonicMs();
    this.#openSent = 0;
    this.#perSecond = perSecond;
    this.#openStep();
  }

  /** Node's timers keep to a millisecond at best; in between, each read sends what has become due. */
  #openStep(): void {
    if (this.#perSecond === 0) return;
    this.#submitDue();
    setTimeout(() => this.#openStep(), STEP_MS);
  }

  #submitDue(): void {
    const stepMs = 1000 / this.#perSecond;
    const due = Math.floor((monotonicMs() - this.#openSinceMs) / stepMs);
    const miners = this.#miners;
    while (this.#openSent < due) {
      const sent = this.#openSent++;
      (miners[sent % miners.length] as SwarmMiner).submit(1, this.#openSinceMs + sent * stepMs);
    }
  }

  async #newTip(perSecond: number): Promise<TipResult> {
    this.#openLoop(perSecond);
    await sleep(TIP_LEAD_MS);
    for (const miner of this.#miners) miner.gotCleanJob = false;
    const tip = new TipWatch(this.#miners.length);
    this.#tip = tip;
    tell({ type: 'armed' });
    await this.#until(
      () => tip.missing === 0,
      TIP_WITHIN_MS,
      () => `${tip.missing} connections did not get the job of the new tip`,
    );
    this.#tip = null;
    const acks = this.#acks as AckRecord;
    await this.#endLoad();
    const { firstAtMs, lastAtMs, clientCores } = tip;
    return { ...acks.between(firstAtMs, lastAtMs), firstAtMs, lastAtMs, clientCores };
  }

  /** Submits no more and waits for every answer: one that never comes is a fault of the pool. */
  async #endLoad(): Promise<void> {
    this.closedLoop = false;
    this.#perSecond = 0;
    await this.#until(
      () => this.book.open === 0,
      ANSWERED_WITHIN_MS,
      () => `${this.book.open} of ${this.book.submitted} submits were not answered`,
    );
    this.#acks = null;
  }

  #leave(): Left {
    for (const miner of this.#miners) miner.leave();
    return {
      submitted: this.book.submitted,
      accepted: this.#accepted,
      refused: this.#answered - this.#accepted,
    };
  }

  async #until(condition: () => boolean, withinMs: number, missing: () => string): Promise<void> {
    const endMs = monotonicMs() + withinMs;
    for (;;) {
      this.#check();
      if (condition()) return;
      if (monotonicMs() > endMs) throw new Error(`after ${withinMs / 1000} s ${missing()}`);
      await sleep(STEP_MS);
    }
  }

  #check(): void {
    if (this.#failure !== null) throw new Error(this.#failure);
  }
}

function tell(message: FromSwarm): void {
  process.send?.(message);
}

const client = new Client();
process.on('message', (command: SwarmCommand) => {
  client.run(command).then(
    (result) => {
      tell({ type: 'done', result });
      if (command.type === 'leave') process.disconnect();
    },
    (error: unknown) => {
      tell({ type: 'failed', reason: error instanceof Error ? error.message : String(error) });
      process.disconnect();
    },
  );
});
// Also when the parent is gone: a load that nobody counts must end.
process.on('disconnect', () => process.exit());
