// A FAKE pool, for fault injection into the simulated miners only: it speaks just enough Stratum V1 to
// be connected to, and says or breaks whatever a test tells it to. It checks nothing and pays nothing;
// that the miners work with the real pool is shown by the integration tests.
import { createHash, randomInt } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';

export interface FakePoolRequest {
  readonly id: number;
  readonly method: string;
  readonly params: unknown[];
}

/** What a test wants done with one request; undefined: the usual friendly answer. */
export type FakePoolScript = (
  request: FakePoolRequest,
  connection: FakePoolConnection,
) => 'handled' | undefined;

export class FakePoolConnection {
  readonly socket: Socket;
  readonly requests: FakePoolRequest[] = [];
  constructor(socket: Socket) {
    this.socket = socket;
  }
  raw(text: string): void {
    this.socket.write(text);
  }
  send(message: object): void {
    this.raw(`${JSON.stringify(message)}\n`);
  }
  answer(id: number, result: unknown, error: unknown = null): void {
    this.send({ id, result, error });
  }
  setDifficulty(difficulty: unknown): void {
    this.send({ id: null, method: 'mining.set_difficulty', params: [difficulty] });
  }
  notify(jobId: string, cleanJobs: boolean): void {
    this.send({ id: null, method: 'mining.notify', params: notifyParams(jobId, cleanJobs) });
  }
  submits(): FakePoolRequest[] {
    return this.requests.filter((request) => request.method === 'mining.submit');
  }
}

export const FAKE_EXTRANONCE1 = '08000002';

/** The job of the protocol's first public description (slush pool, 2012), under another job id. */
export function notifyParams(jobId: string, cleanJobs: boolean): unknown[] {
  return [
    jobId,
    '4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000',
    '01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff20020862062f503253482f04b8864e5008',
    '072f736c7573682f000000000100f2052a010000001976a914d23fcdf86f7e756a64a7a9688ef9903327048ed988ac00000000',
    [],
    '00000002',
    '1c2ac4af',
    '504e86b9',
    cleanJobs,
  ];
}

/** The header hash of a submit as an integer, worked out with node:crypto and no code of the miners. */
export function hashOfSubmit({ params }: FakePoolRequest): bigint {
  const [, jobId, extranonce2, time, nonce, versionBits = '00000000'] = params as string[];
  const [, previous, part1, part2, , version, bits] = notifyParams(String(jobId), true) as string[];
  const sha256d = (bytes: Uint8Array): Buffer =>
    createHash('sha256').update(createHash('sha256').update(bytes).digest()).digest();
  const swapped = (hex: string | undefined): Buffer => Buffer.from(String(hex), 'hex').swap32();
  const root = sha256d(Buffer.from(`${part1}${FAKE_EXTRANONCE1}${extranonce2}${part2}`, 'hex'));
  // The template's version has no bit inside the mask, so the rolled bits are simply added.
  const rolled = (Number.parseInt(String(version), 16) | Number.parseInt(versionBits, 16)) >>> 0;
  const header = [swapped(rolled.toString(16).padStart(8, '0')), swapped(previous), root];
  const hash = sha256d(Buffer.concat([...header, swapped(time), swapped(bits), swapped(nonce)]));
  return BigInt(`0x${hash.reverse().toString('hex')}`);
}

export class FakePool {
  readonly port: number;
  readonly connections: FakePoolConnection[] = [];
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  /** Listens on a free port below the ephemeral range; the one given, or a random one. */
  static async start(script: FakePoolScript = () => undefined, port?: number): Promise<FakePool> {
    for (let attempt = 0; ; attempt++) {
      const chosen = port ?? randomInt(20_000, 32_000);
      const server = createServer();
      try {
        await new Promise<void>((resolve, reject) => {
          server.once('error', reject);
          server.listen(chosen, '127.0.0.1', resolve);
        });
      } catch (error) {
        if (attempt > 20) throw error;
        continue;
      }
      const pool = new FakePool(server, chosen);
      server.on('connection', (socket) => pool.#serve(socket, script));
      return pool;
    }
  }

  async stop(): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket, script: FakePoolScript): void {
    const connection = new FakePoolConnection(socket);
    this.connections.push(connection);
    let held = '';
    socket.setEncoding('utf8');
    socket.on('error', () => {});
    socket.on('data', (text: string) => {
      held += text;
      const lines = held.split('\n');
      held = lines.pop() ?? '';
      for (const line of lines) {
        const request = JSON.parse(line) as FakePoolRequest;
        connection.requests.push(request);
        if (script(request, connection) === undefined) usualAnswer(request, connection);
      }
    });
  }
}

function usualAnswer({ id, method }: FakePoolRequest, connection: FakePoolConnection): void {
  let result: unknown = true;
  if (method === 'mining.configure') result = { 'version-rolling': true, 'version-rolling.mask': '1fffe000' };
  if (method === 'mining.subscribe') result = [[['mining.notify', 'a1']], FAKE_EXTRANONCE1, 4];
  connection.answer(id, result);
}
