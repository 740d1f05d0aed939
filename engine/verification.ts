// The nightly verification beside the running pool: every credit again from the raw shares (verify/), with a ClickHouse
// client of its own, in turns that hold nobody up. What it finds is logged and shown; it changes nothing.
import { openClickHouse } from '../storage/clickhouse/client.js';
import type { Database } from '../storage/postgres/connection.js';
import type { Config } from './config/config.js';
import type { Logger } from './config/log.js';
import type { NodeRpc } from './node/rpc.js';
import type { Servers } from './servers.js';
import { NightlyVerification, type VerificationFigures } from './verify/nightly.js';

const STEP_EVERY_MS = 1000;

export class Verification {
  readonly #nightly: NightlyVerification;
  readonly #timer: NodeJS.Timeout;
  readonly #clickhouse: ReturnType<typeof openClickHouse>;
  #stepping: Promise<void> = Promise.resolve();
  #trouble: string | null = null;

  constructor(config: Config, servers: Servers, database: Database, rpc: NodeRpc, log: Logger) {
    this.#clickhouse = openClickHouse(servers.clickhouseReader);
    this.#nightly = new NightlyVerification({
      database,
      clickhouse: this.#clickhouse,
      network: config.network,
      defaultScheme: config.payoutScheme,
      coinbaseSats: async (hash) => {
        const outputs = await rpc.getCoinbaseOutputs(hash).catch(() => null);
        return outputs?.reduce((sum, { sats }) => sum + sats, 0n) ?? null;
      },
      nowMs: () => Date.now(),
      onResult: ({ credits, found, open }) => {
        const facts = { credits, different: open.different, incomplete: open.incomplete };
        if (open.different > 0) {
          log.error(
            { event: 'verified', ...facts, found: found.map(({ key }) => key) },
            `${open.different} credit(s) are not what the raw shares say, by ${open.differenceSats} sats: see \`millrace verify\``,
          );
        } else if (credits > 0) {
          log.info(
            { event: 'verified', ...facts },
            `${credits} credit(s) computed again from the raw shares: difference 0`,
          );
        }
      },
    });
    this.#timer = setInterval(() => this.#step(log), STEP_EVERY_MS);
  }

  get figures(): VerificationFigures {
    return this.#nightly.figures;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#stepping;
    await this.#clickhouse.close();
  }

  #step(log: Logger): void {
    this.#stepping = this.#nightly.step().then(
      () => {
        this.#trouble = null;
      },
      (error: Error) => {
        if (this.#trouble === null) log.warn(`the verification of credits waits: ${error.message}`);
        this.#trouble = error.message;
      },
    );
  }
}
