// What a payout asks the chain beyond its wallet: fee rate, height, and whether an address can be paid.
import { scriptFromAddress } from '../bitcoin/address.js';
import { bytesToHex } from '../bitcoin/hex.js';
import type { NetworkName } from '../bitcoin/networks.js';
import type { NodeRpc } from '../node/rpc.js';

export interface PayoutChain {
  /** Satoshis a virtual byte to confirm within `blocks`; null while the node knows none. */
  feeRate(blocks: number): Promise<number | null>;
  tipHeight(): Promise<number>;
  /** Null: the address can be paid. Else what is wrong with it. Throws when the node does not answer. */
  addressFault(address: string): Promise<string | null>;
  /** Bytes of its output script; null when the address is not understood. */
  scriptBytes(address: string): number | null;
}

export class NodePayoutChain implements PayoutChain {
  readonly #rpc: NodeRpc;
  readonly #network: NetworkName;

  constructor(rpc: NodeRpc, network: NetworkName) {
    this.#rpc = rpc;
    this.#network = network;
  }

  feeRate(blocks: number): Promise<number | null> {
    return this.#rpc.estimateSmartFee(blocks);
  }

  async tipHeight(): Promise<number> {
    return (await this.#rpc.getBlockchainInfo()).blocks;
  }

  async addressFault(address: string): Promise<string | null> {
    let script: Uint8Array;
    try {
      script = scriptFromAddress(address, this.#network);
    } catch (error) {
      return (error as Error).message;
    }
    const { isValid, scriptHex } = await this.#rpc.validateAddress(address);
    if (!isValid) return 'the node does not know this kind of address';
    return scriptHex === bytesToHex(script) ? null : 'the node reads another script from it than we do';
  }

  scriptBytes(address: string): number | null {
    try {
      return scriptFromAddress(address, this.#network).length;
    } catch {
      return null;
    }
  }
}
