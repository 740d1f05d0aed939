// The payout rail of the node's own wallet: funds and signs by PSBT without broadcasting, so that the
// bytes can be stored first (never a call that builds, signs and sends at once). What the wallet lacks a key
// for comes out unsigned, for a signer elsewhere.
import type { NodeRpc } from '../node/rpc.js';
import { NodeRpcError, RPC_NOT_FOUND } from '../node/rpc-error.js';
import type { Outpoint, WalletRpc } from '../node/wallet-rpc.js';
import { spentOutpoints } from './multisig-psbt.js';
import type { BuildResult, BuildTerms, PayoutRail, PayoutTransaction, RailOutput } from './rail.js';

/** The transaction is in a block already: as good as taken (Bitcoin Core RPC_VERIFY_ALREADY_IN_CHAIN). */
const ALREADY_IN_CHAIN = -27;
/** What `lockunspent` says of a coin that is spent, or locked already (RPC_INVALID_PARAMETER). */
const NOT_LOCKABLE = -8;

export class NodeWallet implements PayoutRail {
  readonly name = 'node wallet';
  readonly #rpc: NodeRpc;
  readonly #wallet: WalletRpc;

  constructor(rpc: NodeRpc, wallet: WalletRpc) {
    this.#rpc = rpc;
    this.#wallet = wallet;
  }

  async build(outputs: readonly RailOutput[], { feeRateSatPerVb }: BuildTerms): Promise<BuildResult> {
    const { psbt, feeSats } = await this.#wallet.walletCreateFundedPsbt(outputs, {
      feeRateSatPerVb: feeRateSatPerVb === null ? undefined : feeRateSatPerVb.toFixed(3),
      // Coins of a payout that is signed but not yet in the mempool must not be chosen again.
      lockUnspents: true,
      // The change of a payment that may still be replaced can vanish, and all that spends it.
      minConfirmations: 1,
    });
    return await this.#sign(psbt, feeSats, outputs);
  }

  async combine(psbts: readonly string[]): Promise<BuildResult> {
    const psbt = await this.#rpc.combinePsbt(psbts);
    const feeSats = await this.#rpc.getPsbtFee(psbt);
    if (feeSats === undefined)
      throw new Error('The PSBT does not say what its inputs are worth: build it anew');
    return await this.#finalize(psbt, feeSats);
  }

  async bump(
    previous: PayoutTransaction,
    outputs: readonly RailOutput[],
    feeRateSatPerVb: number,
  ): Promise<BuildResult> {
    const { psbt, feeSats } = await this.#wallet.psbtBumpFee(previous.txid, feeRateSatPerVb.toFixed(3));
    const kept = new Set(spentOutpoints(psbt));
    if (!spentOutpoints(previous.rawTransaction).every((coin) => kept.has(coin))) {
      throw new Error(`the node’s replacement of ${previous.txid} drops an input: both could be mined`);
    }
    return await this.#sign(psbt, feeSats, outputs);
  }

  async broadcast(rawTransaction: string): Promise<void> {
    try {
      await this.#rpc.sendRawTransaction(rawTransaction);
    } catch (error) {
      if (error instanceof NodeRpcError && error.code === ALREADY_IN_CHAIN) return;
      throw error;
    }
  }

  async confirmations(txid: string): Promise<number | null> {
    try {
      return (await this.#wallet.getTransaction(txid)).confirmations;
    } catch (error) {
      if (error instanceof NodeRpcError && error.code === RPC_NOT_FOUND) return null;
      throw error;
    }
  }

  async release(rawOrPsbt: string): Promise<void> {
    const ours = new Set(spentOutpoints(rawOrPsbt));
    const locked = (await this.#wallet.listLockUnspent()).filter((coin) => ours.has(nameOf(coin)));
    await this.#unlock(locked);
  }

  async hold(rawsOrPsbts: readonly string[]): Promise<void> {
    const wanted = new Set(rawsOrPsbts.flatMap(spentOutpoints));
    const locked = await this.#wallet.listLockUnspent();
    const strays = locked.filter((coin) => !wanted.has(nameOf(coin)));
    await this.#unlock(strays);
    for (const coin of locked) wanted.delete(nameOf(coin));
    for (const coin of wanted) {
      const [txid = '', index = ''] = coin.split(':');
      try {
        await this.#wallet.lockUnspent('lock', [{ txid, outputIndex: Number(index) }]);
      } catch (error) {
        // Spent by the very transaction, which the wallet knows of: nothing can choose it again.
        if (!(error instanceof NodeRpcError) || error.code !== NOT_LOCKABLE) throw error;
      }
    }
  }

  async #unlock(coins: readonly Outpoint[]): Promise<void> {
    for (const coin of coins) {
      try {
        await this.#wallet.lockUnspent('unlock', [coin]);
      } catch (error) {
        // Locked while a reorg had freed it and spent again since: its lock keeps nobody from anything.
        if (!(error instanceof NodeRpcError) || error.code !== NOT_LOCKABLE) throw error;
      }
    }
  }

  /** What payments can spend now. */
  async spendableSats(): Promise<bigint> {
    return (await this.#wallet.getBalances()).trustedSats;
  }

  async #sign(psbt: string, feeSats: bigint, outputs: readonly RailOutput[]): Promise<BuildResult> {
    const processed = await this.#wallet.walletProcessPsbt(psbt);
    const result = await this.#finalize(processed.psbt, feeSats);
    if (result.state === 'signed') await this.#checkPays(result.transaction.rawTransaction, outputs);
    return result;
  }

  async #finalize(psbt: string, networkFeeSats: bigint): Promise<BuildResult> {
    const { complete, transactionHex } = await this.#rpc.finalizePsbt(psbt);
    if (!complete || transactionHex === undefined) {
      return { state: 'unsigned', psbt, networkFeeSats, signaturesNeeded: 1 };
    }
    const { txid } = await this.#rpc.decodeRawTransaction(transactionHex);
    return { state: 'signed', transaction: { txid, rawTransaction: transactionHex, networkFeeSats } };
  }

  /** Kept on in production: whatever the wallet did, only what was asked for is paid. */
  async #checkPays(rawTransaction: string, outputs: readonly RailOutput[]): Promise<void> {
    const paid = (await this.#rpc.decodeRawTransaction(rawTransaction)).outputs;
    for (const { address, sats } of outputs) {
      const fits = paid.filter((output) => output.address === address && output.valueSats === sats);
      if (fits.length !== 1)
        throw new Error(`the built transaction does not pay ${sats} sats to ${address} once`);
    }
    if (paid.length > outputs.length + 1)
      throw new Error('the built transaction has outputs nobody asked for');
  }
}

function nameOf({ txid, outputIndex }: Outpoint): string {
  return `${txid}:${outputIndex}`;
}
