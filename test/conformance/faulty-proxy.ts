// A pool with one fault: a relay in front of a healthy pool that changes lines on their way. It stands for the pools
// that the cases are about, so that a test can see each case bite.
import { connect, createServer, type Server, type Socket } from 'node:net';
import { LineReader } from '../../loadtest/line-reader.js';

/** Changes a line of one direction: the lines to send instead; none drops it. */
type Change = (line: string) => readonly string[];

export interface Fault {
  readonly name: string;
  /** Cases that must fail then. */
  readonly caughtBy: readonly string[];
  /** Called for each connection. */
  create(): { toMiner?: Change; toPool?: Change };
}

type Message = Record<string, unknown> & { params?: unknown };

export class FaultyProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(poolPort: number, fault: Fault): Promise<FaultyProxy> {
    const server = createServer({ noDelay: true });
    const proxy = new FaultyProxy(server);
    server.on('connection', (miner) => {
      const pool = connect({ host: '127.0.0.1', port: poolPort, noDelay: true });
      const { toMiner, toPool } = fault.create();
      proxy.#relay(pool, miner, toMiner);
      proxy.#relay(miner, pool, toPool);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #relay(from: Socket, to: Socket, change: Change | undefined): void {
    this.#sockets.add(from);
    const lines = new LineReader();
    from.on('data', (chunk) => {
      if (change === undefined) {
        to.write(chunk);
        return;
      }
      lines.push(chunk, (line) => {
        for (const changed of change(line)) to.write(`${changed}\n`);
      });
    });
    from.on('error', () => to.destroy());
    from.on('close', () => {
      this.#sockets.delete(from);
      to.end();
    });
  }
}

/** No fault: what the faults are compared with. */
export const NO_FAULT: Fault = {
  name: 'no fault',
  caughtBy: [],
  create: () => ({ toMiner: (line) => [line] }),
};

export const FAULTS: readonly Fault[] = [
  {
    name: 'replies without error member',
    caughtBy: ['wire/reply-members'],
    create: () => ({ toMiner: (line) => [line.replace(',"error":null', '')] }),
  },
  {
    name: 'silence for unknown methods',
    caughtBy: ['methods/unknown'],
    create: () => ({ toMiner: (line) => (line.includes('Unknown method') ? [] : [line]) }),
  },
  {
    name: 'every reply twice',
    caughtBy: ['wire/one-reply'],
    create: () => ({ toMiner: (line) => ('result' in JSON.parse(line) ? [line, line] : [line]) }),
  },
  {
    name: 'the previous hash in display order',
    caughtBy: ['submit/five-params'],
    create: () => ({
      toMiner: call('mining.notify', (params) => {
        const words = Buffer.from(String(params[1]), 'hex').swap32();
        return [params[0], words.reverse().toString('hex'), ...params.slice(2)];
      }),
    }),
  },
  {
    name: 'no difficulty before the first job',
    caughtBy: ['wire/difficulty-before-first-job'],
    create: () => ({
      toMiner: (line) => (line.includes('mining.set_difficulty",') && !isResult(line) ? [] : [line]),
    }),
  },
  {
    name: 'a difficulty between jobs',
    caughtBy: ['wire/difficulty-with-job'],
    create: () => ({
      toMiner: (line) => {
        if (!line.includes('"mining.notify","params"')) return [line];
        const alone = '{"id":null,"method":"mining.set_difficulty","params":[1]}';
        return [line, alone, alone];
      },
    }),
  },
  {
    name: 'jobs sent again',
    caughtBy: ['wire/job-ids-unique'],
    create: () => ({
      toMiner: (line) => (line.includes('"mining.notify","params"') ? [line, line] : [line]),
    }),
  },
  {
    name: 'clean_jobs never true',
    caughtBy: ['wire/first-job-clean', 'jobs/new-tip'],
    create: () => ({ toMiner: call('mining.notify', (params) => [...params.slice(0, 8), false]) }),
  },
  {
    name: 'one extranonce1 for all',
    caughtBy: ['subscribe/extranonce1-unique', 'submit/five-params'],
    create: () => ({
      toMiner: (line) => {
        const message = JSON.parse(line) as Message;
        const { result } = message;
        if (!Array.isArray(result) || result.length !== 3) return [line];
        return [JSON.stringify({ ...message, result: [result[0], '00000001', result[2]] })];
      },
    }),
  },
  {
    name: 'duplicates paid',
    caughtBy: [
      'submit/duplicate',
      'duplicates/spellings',
      'duplicates/lines',
      'duplicates/in-one-packet',
      'duplicates/other-worker',
      'resume/no-replay',
    ],
    create: () => pays(22),
  },
  {
    name: 'low difficulty paid',
    caughtBy: ['submit/low-difficulty', 'submit/no-forgiveness', 'difficulty/lowered-old-job'],
    create: () => pays(23),
  },
  { name: 'stale work paid', caughtBy: ['submit/unknown-job', 'jobs/new-tip'], create: () => pays(21) },
  {
    name: 'strangers paid',
    caughtBy: ['submit/unauthorized', 'resume/other-worker'],
    create: () => pays(24),
  },
  {
    name: 'whatever is malformed paid',
    caughtBy: [
      'submit/ntime-too-early',
      'submit/ntime-too-far',
      'submit/extranonce2-length',
      'submit/nonce-not-hex',
      'version-rolling/outside-mask',
      'version-rolling/not-negotiated',
    ],
    create: () => pays(20),
  },
  {
    name: 'one mask for every miner',
    caughtBy: ['configure/mask-intersection'],
    create: () => ({
      toMiner: (line) => [line.replace(/("version-rolling.mask":)"[0-9a-f]{8}"/, '$1"1fffe000"')],
    }),
  },
  {
    name: 'bits outside the mask cut off in silence',
    caughtBy: ['version-rolling/outside-not-masked-away'],
    create: () => ({
      toPool: call('mining.submit', (params) => {
        if (params.length < 6) return params;
        const bits = (Number.parseInt(String(params[5]), 16) & 0x1fffe000) >>> 0;
        return [...params.slice(0, 5), bits.toString(16).padStart(8, '0')];
      }),
    }),
  },
  {
    name: 'sessions never resumed',
    caughtBy: ['resume/extranonce1'],
    create: () => ({ toPool: call('mining.subscribe', (params) => params.slice(0, 1)) }),
  },
  {
    name: 'spellings forgiven',
    caughtBy: ['submit/extranonce2-padded', 'version-rolling/odd-bits'],
    create: () => ({
      toPool: call('mining.submit', ([user, job, extranonce2, ...words]) => [
        user,
        job,
        String(extranonce2).slice(0, 16),
        ...words.map((word) => String(word).replace(/^0x/, '').trim().padStart(8, '0').slice(-8)),
      ]),
    }),
  },
];

/**
 * Pools that OR or XOR the bits into the job's version instead of replacing. Only to be told from a right one where
 * the template has bits inside the mask.
 * @param jobBits those bits
 */
export function wrongRolling(jobBits: number): Fault[] {
  const wrong = (name: string, combine: (bits: number) => number): Fault => ({
    name,
    caughtBy: ['version-rolling/truth-table'],
    create: () => ({
      toPool: call('mining.submit', (params) => {
        if (params.length < 6) return params;
        const bits = combine(Number.parseInt(String(params[5]), 16)) >>> 0;
        return [...params.slice(0, 5), bits.toString(16).padStart(8, '0')];
      }),
    }),
  });
  return [
    wrong('version bits put on the job with OR', (bits) => bits | jobBits),
    wrong('version bits put on the job with XOR', (bits) => bits ^ jobBits),
  ];
}

/** Answers `true` where the pool said no with `code`. */
function pays(code: number): { toMiner: Change } {
  return {
    toMiner: (line) => {
      const message = JSON.parse(line) as Message;
      const { error } = message;
      if (!Array.isArray(error) || error[0] !== code) return [line];
      return [JSON.stringify({ ...message, result: true, error: null })];
    },
  };
}

/** Changes the parameters of calls of one method, in either direction. */
function call(method: string, change: (params: readonly unknown[]) => readonly unknown[]): Change {
  return (line) => {
    let message: Message;
    try {
      message = JSON.parse(line) as Message;
    } catch {
      return [line];
    }
    if (message.method !== method || !Array.isArray(message.params)) return [line];
    return [JSON.stringify({ ...message, params: change(message.params) })];
  };
}

function isResult(line: string): boolean {
  return 'result' in (JSON.parse(line) as Message);
}
