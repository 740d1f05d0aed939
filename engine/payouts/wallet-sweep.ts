// Keeps the hot wallet small: when it holds more than its cap, all above its floor goes to the cold address.
// A small state machine of its own, by the rule of all payments: store the bytes, then broadcast exactly those.
import type { PayoutStore } from '../../storage/postgres/payout-store.js';
import type { Sweep, SweepStore } from '../../storage/postgres/sweep-store.js';
import { NodeRpcError } from '../node/rpc-error.js';
import { spentOutpoints } from './multisig-psbt.js';
import type { BuildTerms, PayoutRail } from './rail.js';

export interface HotWallet extends PayoutRail {
  /** What payments can spend now. */
  spendableSats(): Promise<bigint>;
}

export interface WalletSweeperOptions {
  store: SweepStore;
  payouts: PayoutStore;
  wallet: HotWallet;
  /** Where the coins go; its keys are not in the hot wallet. */
  coldAddress: string;
  /** A sweep leaves this much, and what is planned to be paid on top of it. The sweep's own fee comes out of it. */
  floorSats: bigint;
  /** A sweep is made when the hot wallet holds more. */
  capSats: bigint;
  confirmationsNeeded: number;
  feeRate: () => Promise<number | null>;
  onSweep: (sweep: Sweep) => void;
}

/** Steps between two plans after one that the wallet could not pay. */
const PAUSE_STEPS = 60;

export class WalletSweeper {
  readonly #options: WalletSweeperOptions;
  #pause = 0;

  /** Throws RangeError when the floor is not below the cap. */
  constructor(options: WalletSweeperOptions) {
    if (options.floorSats < 0n || options.floorSats >= options.capSats) {
      throw new RangeError(`the hot wallet's floor, ${options.floorSats} sats, must be below its cap`);
    }
    this.#options = options;
  }

  /** Moves the open sweep on, or plans one. Not to run while PayoutRunner.step does: both choose coins. */
  async step(): Promise<void> {
    const sweep = (await this.#options.store.open()) ?? (await this.#plan());
    if (sweep === null) return;
    if (sweep.status === 'planned') await this.#sign(sweep);
    else if (sweep.status === 'signed') await this.#broadcast(sweep);
    else await this.#confirm(sweep);
  }

  async #plan(): Promise<Sweep | null> {
    const { store, wallet, coldAddress, floorSats, capSats } = this.#options;
    if (this.#pause > 0) {
      this.#pause--;
      return null;
    }
    const spendable = await wallet.spendableSats();
    if (spendable <= capSats) return null;
    const amount = spendable - floorSats - (await store.plannedSats());
    return amount > 0n ? await store.plan(coldAddress, amount) : null;
  }

  async #sign(sweep: Sweep): Promise<void> {
    const { store, payouts, wallet, feeRate } = this.#options;
    await wallet.hold(await payouts.openTransactions());
    const terms: BuildTerms = { feeRateSatPerVb: await feeRate() };
    let built: Awaited<ReturnType<PayoutRail['build']>>;
    try {
      built = await wallet.build([{ address: sweep.address, sats: sweep.sentSats }], terms);
    } catch (error) {
      // The wallet said no: the next plan is made of the balance of then. No answer: it is asked again.
      if (error instanceof NodeRpcError && error.answered) {
        await store.drop(sweep.id, error.message);
        this.#pause = PAUSE_STEPS;
      }
      throw error;
    }
    if (built.state === 'unsigned') throw new Error('the hot wallet cannot sign its sweep: keys are missing');
    const coins = spentOutpoints(built.transaction.rawTransaction);
    if ((await store.storeSigned(sweep.id, built.transaction, coins)) === 'stored') {
      await this.#broadcast({ ...sweep, status: 'signed', ...built.transaction });
    }
  }

  async #broadcast(sweep: Sweep): Promise<void> {
    const { store, wallet, onSweep } = this.#options;
    if (sweep.rawTransaction === null) throw new Error(`sweep ${sweep.id} is signed but holds no bytes`);
    await wallet.broadcast(sweep.rawTransaction);
    await store.markBroadcast(sweep.id);
    if (sweep.status === 'signed') onSweep({ ...sweep, status: 'broadcast' });
  }

  async #confirm(sweep: Sweep): Promise<void> {
    const { store, wallet, confirmationsNeeded, onSweep } = this.#options;
    if (sweep.txid === null) throw new Error(`sweep ${sweep.id} was broadcast but has no txid`);
    const confirmations = await wallet.confirmations(sweep.txid);
    if (confirmations !== null && confirmations >= confirmationsNeeded) {
      if ((await store.markConfirmed(sweep.id)) === 'confirmed') onSweep({ ...sweep, status: 'confirmed' });
    } else if (confirmations === null || confirmations < 0) {
      await this.#broadcast(sweep);
    }
  }
}
