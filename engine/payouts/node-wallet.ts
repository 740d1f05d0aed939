// The payout rail of the node's own wallet: funds and signs by PSBT without broadcasting, so that the
// bytes can be stored first (never a call that builds, signs and sends at once).
import type { SignedTransaction } from '../../storage/postgres/payout-store.js';
import type { NodeRpc } from '../node/rpc.js';
import { NodeRpcError, RPC_NOT_FOUND } from '../node/rpc-error.js';
import type { WalletRpc } from '../node/wallet-rpc.js';
import type { PayoutWallet } from './payout-runner.js';

/** The transaction is in a block already: as good as taken (Bitcoin Core RPC_VERIFY_ALREADY_IN_CHAIN). */
const ALREADY_IN_CHAIN = -27;

export class NodeWallet implements PayoutWallet {
  readonly #rpc: NodeRpc;
  readonly #wallet: WalletRpc;

  constructor(rpc: NodeRpc, wallet: WalletRpc) {
    this.#rpc = rpc;
    this.#wallet = wallet;
  }

  async sign(outputs: readonly { address: string; sats: bigint }[]): Promise<SignedTransaction> {
    const funded = await this.#wallet.walletCreateFundedPsbt(outputs, {
      feeRateSatPerVb: undefined,
      // Coins of a payout that is signed but not yet in the mempool must not be chosen again.
      lockUnspents: true,
    });
    const { psbt } = await this.#wallet.walletProcessPsbt(funded.psbt);
    const { complete, transactionHex } = await this.#rpc.finalizePsbt(psbt);
    if (!complete || transactionHex === undefined) {
      throw new Error(
        'The node wallet cannot sign the payout: keys are missing. Use a wallet that owns its coins',
      );
    }
    const { txid } = await this.#rpc.decodeRawTransaction(transactionHex);
    return { txid, rawTransaction: transactionHex, networkFeeSats: funded.feeSats };
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
}
