// Lightning payouts in a loop of their own: a payment may look for a route for a minute, and blocks and payouts on
// the chain do not wait for it. All state is in Postgres: what a stop cuts off is taken up at the next start.
import { lstatSync, readFileSync } from 'node:fs';
import type { Database } from '../storage/postgres/connection.js';
import { LightningPayments } from '../storage/postgres/lightning-payments.js';
import type { LightningPlanTerms } from '../storage/postgres/lightning-plan.js';
import type { Config, LightningConfig } from './config/config.js';
import { INVOICE_PREFIX } from './payouts/lightning/bolt11.js';
import type { LightningClient } from './payouts/lightning/client.js';
import { ClnClient } from './payouts/lightning/cln-client.js';
import { fetchInvoice } from './payouts/lightning/lightning-address.js';
import { type LightningEvent, LightningRunner } from './payouts/lightning/lightning-runner.js';
import { LndClient } from './payouts/lightning/lnd-client.js';

export type LightningPayerEvent =
  | LightningEvent
  /** The ledger is away; said once, until it is back. */
  | { type: 'lightning_stalled'; reason: string };

const STEP_MS = 1000;
const STOP_MS = 3000;
const PAY_TIMEOUT_S = 60;
const FAILURES_MAX = 5;
const RETRY_AFTER_MS = 60_000;
const SECRET_BYTES_MAX = 16_384;
const OTHERS = 0o077;
/** A day's limit where none is set: all coins there will ever be. */
const NO_CAP_SATS = 2_100_000_000_000_000n;

export class LightningPayer {
  readonly #runner: LightningRunner;
  readonly #onEvent: (event: LightningPayerEvent) => void;
  #stopping = false;
  #wake: () => void = () => {};
  readonly #running: Promise<void>;

  private constructor(runner: LightningRunner, onEvent: (event: LightningPayerEvent) => void) {
    this.#runner = runner;
    this.#onEvent = onEvent;
    this.#running = this.#run();
  }

  /** Starts paying. Throws Error with cause and cure when the node's secret or certificate cannot be used. */
  static start(
    config: Config,
    lightning: LightningConfig,
    database: Database,
    onEvent: (event: LightningPayerEvent) => void,
  ): LightningPayer {
    const runner = new LightningRunner({
      store: new LightningPayments(database),
      client: clientOf(lightning),
      fetchInvoice,
      prefix: INVOICE_PREFIX[config.network],
      ...lightningTerms(config, lightning),
      payTimeoutS: PAY_TIMEOUT_S,
      failuresMax: FAILURES_MAX,
      retryAfterMs: RETRY_AFTER_MS,
      everyMs: config.payoutFrequencyMs,
      onEvent,
      nowMs: () => Date.now(),
    });
    return new LightningPayer(runner, onEvent);
  }

  /** Resolves when nothing of it runs any more, or after a while: the node goes on with what it was given. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#wake();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, STOP_MS);
    });
    await Promise.race([this.#running, late]);
    clearTimeout(timer);
  }

  async #run(): Promise<void> {
    let trouble = '';
    while (!this.#stopping) {
      try {
        await this.#runner.step();
        trouble = '';
      } catch (error) {
        const reason = (error as Error).message;
        if (trouble === '' && !this.#stopping) this.#onEvent({ type: 'lightning_stalled', reason });
        trouble = reason;
      }
      if (!this.#stopping) await this.#pause();
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, STEP_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

export function lightningTerms(
  config: Config,
  lightning: LightningConfig,
): Omit<LightningPlanTerms, 'requestKey' | 'paymentsMax'> {
  return {
    thresholdSats: config.autoPayoutThresholdSats,
    amountMaxSats: lightning.amountMaxSats,
    dailyCapSats: config.payoutDailyMaxSats ?? NO_CAP_SATS,
    fee: {
      payer: config.fees.paidBy === 'payees' ? 'miner' : 'pool',
      maxPpm: lightning.feeMaxPpm,
      maxBaseSats: lightning.feeBaseSats,
    },
  };
}

function clientOf({ node, url, secretFile, certFile }: LightningConfig): LightningClient {
  const options = certFile === null ? { url } : { url, certificateFile: certFile };
  const secret = readSecret(secretFile);
  const text = secret.toString('latin1').trim();
  if (node === 'cln') return new ClnClient({ ...options, rune: text });
  // LND writes it in binary; people hand it on in hex.
  const macaroon = /^([0-9a-f]{2})+$/i.test(text) ? text : secret.toString('hex');
  return new LndClient({ ...options, macaroon });
}

/** Whoever reads this file can empty the node. */
function readSecret(path: string): Buffer {
  try {
    const { mode, size } = lstatSync(path);
    if ((mode & 0o170000) !== 0o100000) throw new Error('it is no plain file');
    if ((mode & OTHERS) !== 0) {
      const shown = (mode & 0o777).toString(8).padStart(4, '0');
      throw new Error(`others may read it (mode ${shown}): chmod 600 ${path}`);
    }
    if (size === 0 || size > SECRET_BYTES_MAX)
      throw new Error(`it has ${size} bytes, not 1 to ${SECRET_BYTES_MAX}`);
    return readFileSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(
      `The secret of the Lightning node, ${path}: ${code === 'ENOENT' ? 'it does not exist. Correct the path' : message}`,
    );
  }
}
