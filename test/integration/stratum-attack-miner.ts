// A miner or an attacker on one TCP connection, behind a balancer: sends bytes as it likes, keeps what comes back.
import { once } from 'node:events';
import { connect, isIPv6, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** For regtest, of the program that BIP173 takes for examples. */
export const ADDRESS = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
const WAIT_MS = 15_000;

export interface Reply {
  readonly id: unknown;
  readonly result: unknown;
  readonly error: readonly [code: number, reason: string, unknown] | null;
}

export class AttackMiner {
  readonly socket: Socket;
  readonly from: string;
  /** Answers in the order in which they came. */
  readonly replies: Reply[] = [];
  /** Ids of the jobs in the order in which they came. */
  readonly jobs: string[] = [];
  /** Other messages of the pool, by method. */
  readonly told: string[] = [];
  closed = false;
  user = '';
  #ntime = '';
  #extranonce1 = '';
  #rest = '';
  #nextId = 1;
  #nextNonce = 0;

  private constructor(socket: Socket, from: string) {
    this.socket = socket;
    this.from = from;
    socket.on('data', (chunk: Buffer) => this.#read(chunk.toString('latin1')));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
    });
  }

  static async connect(port: number, from: string): Promise<AttackMiner> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    const miner = new AttackMiner(socket, from);
    await once(socket, 'connect');
    const family = isIPv6(from) ? 'TCP6' : 'TCP4';
    socket.write(`PROXY ${family} ${from} ${isIPv6(from) ? '::1' : '127.0.0.1'} 40000 3333\r\n`);
    return miner;
  }

  get extranonce1(): string {
    return this.#extranonce1;
  }

  send(text: string | Buffer): void {
    this.socket.write(text);
  }

  /** Bytes that neither the kernel nor the pool has taken. */
  get untaken(): number {
    return this.socket.writableLength;
  }

  request(method: string, params: readonly unknown[] = [], id: unknown = this.#nextId++): string {
    return `${JSON.stringify({ id, method, params })}\n`;
  }

  /** The answer to a request. Rejects when the pool closes instead. */
  async ask(method: string, params: readonly unknown[] = []): Promise<Reply> {
    const id = this.#nextId++;
    this.send(this.request(method, params, id));
    return await this.answerTo(id);
  }

  async answerTo(id: number): Promise<Reply> {
    const answer = () => this.replies.findLast((reply) => reply.id === id);
    await this.until(() => answer() !== undefined, `no answer to request ${id}`);
    return answer() as Reply;
  }

  async subscribe(): Promise<Reply> {
    const reply = await this.ask('mining.subscribe', ['attack-test']);
    if (reply.error === null) this.#extranonce1 = (reply.result as [unknown, string])[1];
    return reply;
  }

  /** Subscribes, authorizes and waits for a job. */
  async mine(worker = 'rig'): Promise<void> {
    const subscribed = await this.subscribe();
    this.user = `${ADDRESS}.${worker}`;
    const authorized = await this.ask('mining.authorize', [this.user, 'x']);
    if (subscribed.error !== null || authorized.error !== null) {
      throw new Error(`not taken: ${JSON.stringify([subscribed, authorized])}`);
    }
    await this.until(() => this.jobs.length > 0, 'no job');
  }

  /** Lines of new work for the newest job; any header is a share. `from` the ids. */
  work(count: number, firstId: number): string {
    let lines = '';
    for (let i = 0; i < count; i++) lines += this.#submit(firstId + i, this.jobs.at(-1) ?? '');
    return lines;
  }

  /** Lines of shares for a job that never was. */
  junk(count: number, firstId: number): string {
    let lines = '';
    for (let i = 0; i < count; i++) lines += this.#submit(firstId + i, 'ffffffff');
    return lines;
  }

  /** Submits one good share. */
  async share(): Promise<Reply> {
    const id = this.#nextId++;
    this.send(this.work(1, id));
    return await this.answerTo(id);
  }

  async until(wanted: () => boolean, otherwise: string): Promise<void> {
    for (const end = performance.now() + WAIT_MS; !wanted(); ) {
      if (this.closed) throw new Error(`${otherwise}: the pool closed the connection`);
      if (performance.now() > end) throw new Error(otherwise);
      await sleep(2);
    }
  }

  /** Resolves when the pool has closed the connection. */
  async untilClosed(): Promise<void> {
    for (const end = performance.now() + WAIT_MS; !this.closed; ) {
      if (performance.now() > end) throw new Error('the pool does not close the connection');
      await sleep(2);
    }
  }

  /** By a reset: thousands of ports would be missing in TIME_WAIT otherwise. */
  leave(): void {
    this.socket.resetAndDestroy();
  }

  #submit(id: number, job: string): string {
    const nonce = (this.#nextNonce++).toString(16).padStart(8, '0');
    return (
      `{"id":${id},"method":"mining.submit","params":["${this.user}","${job}",` +
      `"0000000000000000","${this.#ntime}","${nonce}"]}\n`
    );
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#hear(JSON.parse(line) as Record<string, unknown>);
  }

  #hear(message: Record<string, unknown>): void {
    const { method, params } = message;
    if (method === undefined) {
      this.replies.push(message as unknown as Reply);
    } else if (method === 'mining.notify') {
      const list = params as readonly string[];
      this.jobs.push(list[0] ?? '');
      this.#ntime = list[7] ?? '';
    } else {
      this.told.push(String(method));
    }
  }
}
