// The money of the pool, moved on step by step: blocks and their credits, expected pay, payouts, sweeps to the cold wallet.
// All state is in Postgres: a step that fails is repeated, and nothing is done twice.
import { AccountSettingsStore } from '../storage/postgres/account-settings.js';
import { BlockStore } from '../storage/postgres/block-store.js';
import type { Database } from '../storage/postgres/connection.js';
import { ExpectedPayStore } from '../storage/postgres/expected-pay-store.js';
import { FeeAverages } from '../storage/postgres/fee-averages.js';
import { lightningAccounts } from '../storage/postgres/payout-status.js';
import { PayoutStore } from '../storage/postgres/payout-store.js';
import { ReserveStore } from '../storage/postgres/reserve-store.js';
import { type Sweep, SweepStore } from '../storage/postgres/sweep-store.js';
import { EXPECTED_VALUE_SCHEMES, type Scheme } from './accounting/schemes.js';
import { blockSubsidy } from './bitcoin/subsidy.js';
import { type BlockEvent, BlockLifecycle } from './block-lifecycle.js';
import { type ExpectedPayEvent, ExpectedPayRunner, type ReserveState } from './expected-pay-runner.js';
import { LightningPayer, type LightningPayerEvent } from './lightning-payer.js';
import { blockStandings } from './node/chain-watcher.js';
import { type OpenedRail, openRail, payoutTerms, type RailOptions } from './payout-rails.js';
import { NodeWallet } from './payouts/node-wallet.js';
import { NodePayoutChain } from './payouts/payout-chain.js';
import { type PayoutEvent, type PayoutNotice, PayoutRunner } from './payouts/payout-runner.js';
import { WalletSweeper } from './payouts/wallet-sweep.js';
import { reserveLimitAt } from './reserve-figures.js';
import type { SchemeSettings } from './stratum/scheme-choice.js';

export type MoneyEvent =
  | BlockEvent
  | PayoutEvent
  | PayoutNotice
  | ExpectedPayEvent
  | LightningPayerEvent
  | { type: 'sweep'; sweep: Sweep };

export interface MoneyOptions extends RailOptions {
  database: Database;
  onEvent: (event: MoneyEvent) => void;
  /** Called when they changed, and once at the start. */
  onSchemes: (choices: SchemeSettings) => void;
}

const CONFIRMATIONS = { own: 1, open: 6 };
const CHOICES_EVERY_MS = 5000;

export class Money {
  /** Why nobody is paid; null: payouts are on. */
  readonly payoutsOff: string | null;
  /** Wallet that pays; '' while payouts are off. */
  readonly payoutsFrom: string;
  /** What the operator should know of those that pay. */
  readonly warnings: string[];

  readonly #options: MoneyOptions;
  readonly #lifecycle: BlockLifecycle;
  readonly #settings: AccountSettingsStore;
  readonly #expectedPay: ExpectedPayRunner;
  readonly #payouts: PayoutRunner | null;
  readonly #sweeper: WalletSweeper | null;
  readonly #closeRail: () => void;
  #lightning: LightningPayer | null = null;
  #paysExpectedValues = false;
  #choicesAtMs = Number.NEGATIVE_INFINITY;
  #choicesSent = '';

  private constructor(options: MoneyOptions, opened: OpenedRail | string, reserveLimitSats: bigint) {
    const { config, database, rpc, wallets, onEvent } = options;
    this.#options = options;
    this.#settings = new AccountSettingsStore(database);
    const subsidySats = (height: number) => blockSubsidy(height, config.network);
    const feePpm = (scheme: Scheme) => config.feePpm[scheme];
    const nowMs = () => Date.now();
    const tipHeight = async () => (await rpc.getBlockchainInfo()).blocks;
    this.#lifecycle = new BlockLifecycle({
      blocks: new BlockStore(database),
      chain: {
        tipHeight,
        standings: (hashes) => blockStandings(rpc, hashes),
        coinbaseOutputs: (hash) => rpc.getCoinbaseOutputs(hash),
      },
      subsidySats,
      terms: { feePpm, windowPermille: config.pplnsWindowPermille, defaultScheme: config.payoutScheme },
      onEvent,
      nowMs,
    });
    this.#expectedPay = new ExpectedPayRunner({
      store: new ExpectedPayStore(database),
      averages: new FeeAverages(database),
      reserve: new ReserveStore(database),
      chain: { tipHeight, totalFees: (height) => rpc.getBlockFees(height) },
      terms: { subsidySats, feePpm },
      reserveLimitSats,
      everyMs: config.expectedPayEveryMs,
      onEvent,
      nowMs,
    });
    if (typeof opened === 'string') {
      this.payoutsOff = opened;
      this.payoutsFrom = '';
      this.warnings = [];
      this.#payouts = null;
      this.#sweeper = null;
      this.#closeRail = () => {};
      return;
    }
    const { rail } = opened;
    this.payoutsOff = null;
    this.payoutsFrom = rail.name;
    this.warnings = opened.warnings;
    this.#closeRail = opened.close;
    const store = new PayoutStore(database);
    const chain = new NodePayoutChain(rpc, config.network);
    const confirmationsNeeded = wallets.ownChain ? CONFIRMATIONS.own : CONFIRMATIONS.open;
    const { thresholdSats, ...terms } = payoutTerms(config);
    this.#payouts = new PayoutRunner({
      store,
      wallet: rail,
      chain,
      thresholdSats,
      terms,
      everyMs: config.payoutFrequencyMs,
      confirmationsNeeded,
      onEvent,
      onNotice: onEvent,
      nowMs,
      steadyMs: () => performance.now(),
    });
    this.#sweeper =
      config.coldAddress === null || config.hotWalletMaxSats === null || !(rail instanceof NodeWallet)
        ? null
        : new WalletSweeper({
            store: new SweepStore(database),
            payouts: store,
            wallet: rail,
            coldAddress: config.coldAddress,
            floorSats: config.hotWalletMinSats,
            capSats: config.hotWalletMaxSats,
            confirmationsNeeded,
            feeRate: () => chain.feeRate(terms.fees.targetBlocks),
            onSweep: (sweep) => onEvent({ type: 'sweep', sweep }),
          });
  }

  /** @throws Error with cause and cure when the wallet or the Lightning node that was configured cannot be used. */
  static async open(options: MoneyOptions): Promise<Money> {
    const { config, rpc, database, onEvent } = options;
    const { blocks } = await rpc.getBlockchainInfo();
    const limit = config.reserveLimitSats ?? reserveLimitAt(blocks, config.network);
    const opened = await openRail(options);
    const money = new Money(options, opened, limit);
    try {
      if (config.lightning !== null) {
        money.#lightning = LightningPayer.start(config, config.lightning, database, onEvent);
      } else {
        const accounts = await lightningAccounts(database);
        if (accounts > 0) money.warnings.push(unpaidText(accounts));
      }
    } catch (error) {
      money.#closeRail();
      throw error;
    }
    return money;
  }

  /** To be called when no step runs any more. Never rejects. */
  async close(): Promise<void> {
    await this.#lightning?.stop();
    this.#closeRail();
  }

  /** As of the last step; null where no scheme of expected value is in use. */
  get reserve(): ReserveState | null {
    return this.#paysExpectedValues ? this.#expectedPay.state : null;
  }

  /** A node refused this candidate. */
  refuse(hash: string, reason: string): void {
    this.#lifecycle.refuse(hash, reason);
  }

  /** Does what is due. Throws when a store or the node is away: call it again later. */
  async step(): Promise<void> {
    await this.#lifecycle.step();
    await this.sendSchemes();
    await this.#payouts?.step();
    await this.#sweeper?.step();
  }

  /** Says by which schemes work is recorded, when that changed. */
  async sendSchemes(): Promise<void> {
    const now = performance.now();
    if (now - this.#choicesAtMs < CHOICES_EVERY_MS) return;
    const { config, onSchemes } = this.#options;
    const all = await this.#settings.chosenSchemes();
    // A coinbase that pays miners is the same for all of them: no block of it can be a SOLO finder's.
    const chosen = config.coinbasePays === 'miners' ? all.filter(([, scheme]) => scheme !== 'solo') : all;
    // A pool that never promised expected values has no reserve to watch.
    this.#paysExpectedValues ||=
      [config.payoutScheme, ...config.stratumPorts.map(({ scheme }) => scheme ?? null)].some(isExpected) ||
      chosen.some(([, scheme]) => isExpected(scheme));
    if (this.#paysExpectedValues) await this.#expectedPay.step();
    const choices: SchemeSettings = { chosen, fallback: this.#expectedPay.state?.mode === 'fall_back' };
    this.#choicesAtMs = now;
    const text = JSON.stringify(choices);
    if (text === this.#choicesSent) return;
    this.#choicesSent = text;
    onSchemes(choices);
  }
}

const unpaidText = (accounts: number): string =>
  `${accounts} account(s) are to be paid by Lightning, and no node is set: they are not paid. ` +
  'Set LND_URL or CLN_URL, or millrace payout lightning ACCOUNT --off';

const isExpected = (scheme: Scheme | null): boolean => scheme !== null && EXPECTED_VALUE_SCHEMES.has(scheme);
