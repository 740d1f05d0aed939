// The payout rail of a wallet whose keys are elsewhere: the node only watches its descriptor. Builds a PSBT (BIP174), takes
// back copies that k of n key holders signed, and puts them together. Whoever signs in the pool's own house is asked by
// engine/signer. Needs Bitcoin Core 25 or newer (coins are chosen by confirmations).

import { addressFromScript, scriptFromAddress } from '../bitcoin/address.js';
import type { NetworkName } from '../bitcoin/networks.js';
import { parseTransaction } from '../bitcoin/transaction.js';
import type { RpcConnection } from '../node/rpc-connection.js';
import { NodeRpcError, RPC_NOT_FOUND } from '../node/rpc-error.js';
import { type Descriptor, isRanged, locateScript, parseDescriptor, scriptAt } from './multisig-descriptor.js';
import { MultisigNode } from './multisig-node.js';
import { derivationsOf, spentOutpoints, unsignedTxid } from './multisig-psbt.js';
import { collectSignatures, type OwnPsbt, readOwnPsbt, type Signatures } from './multisig-signatures.js';
import { openMultisigWallet } from './multisig-wallet.js';
import type { BuildResult, BuildTerms, PayoutRail, PayoutTransaction, RailOutput } from './rail.js';

/** The transaction is in a block already: as good as taken (Bitcoin Core RPC_VERIFY_ALREADY_IN_CHAIN). */
const ALREADY_IN_CHAIN = -27;

export interface MultisigOptions {
  descriptor: string;
  network: NetworkName;
  walletName: string;
  since: number | 'now';
}

export class MultisigRail implements PayoutRail {
  readonly name: string = 'multisig';
  readonly #node: MultisigNode;
  readonly #descriptor: Descriptor;
  readonly #network: NetworkName;

  /**
   * The rail of `descriptor` (BIP389 text: `wsh(sortedmulti(2,[f00dbabe/48h/1h/0h/2h]tpub.../<0;1>/*,...))`), with its
   * wallet found or made in the node. `since`: from when its older coins are looked for, seconds since 1970. Throws Error.
   */
  static async open(
    connection: RpcConnection,
    { descriptor: text, network, walletName, since }: MultisigOptions,
  ): Promise<MultisigRail> {
    const descriptor = parseDescriptor(text, network);
    const node = new MultisigNode(connection, walletName);
    await openMultisigWallet(node, descriptor, since);
    return new MultisigRail(node, descriptor, network);
  }

  private constructor(node: MultisigNode, descriptor: Descriptor, network: NetworkName) {
    this.#node = node;
    this.#descriptor = descriptor;
    this.#network = network;
  }

  async build(outputs: readonly RailOutput[], { feeRateSatPerVb }: BuildTerms): Promise<BuildResult> {
    const psbt = await this.#node.fund({
      outputs,
      inputs: [],
      feeRateSatPerVb,
      changeAddress: this.#onlyAddress(),
    });
    try {
      return this.#checked(psbt, outputs);
    } catch (error) {
      await this.release(psbt);
      throw error;
    }
  }

  /**
   * The first PSBT is the one that `build` or `bump` gave, as it was stored; the others are signed copies of it. Throws
   * TamperedPsbtError when a copy is not.
   */
  async combine(psbts: readonly string[]): Promise<BuildResult> {
    const [text] = psbts;
    if (text === undefined) throw new Error('no PSBT was given');
    const ours = readOwnPsbt(text, this.#descriptor);
    const { needed } = collectSignatures(ours, psbts, this.#descriptor);
    const combined = psbts.length === 1 ? text : await this.#node.combine(psbts);
    if (needed > 0) return this.#unsigned(combined, ours, needed);
    const rawTransaction = await this.#node.finalize(combined);
    if (rawTransaction === null) {
      throw new Error(
        'The node cannot finalise the PSBT although it holds enough signatures: look at its debug.log',
      );
    }
    const txid = unsignedTxid(ours.psbt);
    return { state: 'signed', transaction: { txid, rawTransaction, networkFeeSats: ours.feeSats } };
  }

  /** Who signed copies of `ours`. Throws TamperedPsbtError as `combine` does. */
  signatures(ours: string, copies: readonly string[]): Signatures {
    return collectSignatures(readOwnPsbt(ours, this.#descriptor), copies, this.#descriptor);
  }

  async bump(
    previous: PayoutTransaction,
    outputs: readonly RailOutput[],
    feeRateSatPerVb: number,
  ): Promise<BuildResult> {
    const inputs = spentOutpoints(previous.rawTransaction);
    const lockedBefore = new Set(await this.#node.locked());
    const psbt = await this.#node.fund({
      outputs,
      inputs,
      feeRateSatPerVb,
      changeAddress: this.#changeOf(previous, outputs) ?? this.#onlyAddress(),
    });
    try {
      const kept = new Set(spentOutpoints(psbt));
      if (!inputs.every((input) => kept.has(input))) throw new Error('The replacement lost an input');
      const result = this.#checked(psbt, outputs);
      const feeSats = result.state === 'unsigned' ? result.networkFeeSats : 0n;
      if (feeSats <= previous.networkFeeSats) {
        throw new Error(
          `The replacement would pay ${feeSats} sat, the transaction pays ${previous.networkFeeSats}: raise the fee rate`,
        );
      }
      return result;
    } catch (error) {
      // What was locked before stays so: `previous` may still need it.
      const added = spentOutpoints(psbt).filter((coin) => !lockedBefore.has(coin));
      await this.#node.setLocks(added, false);
      throw error;
    }
  }

  async broadcast(rawTransaction: string): Promise<void> {
    try {
      await this.#node.send(rawTransaction);
    } catch (error) {
      if (error instanceof NodeRpcError && error.code === ALREADY_IN_CHAIN) return;
      throw error;
    }
  }

  async confirmations(txid: string): Promise<number | null> {
    try {
      return await this.#node.confirmations(txid);
    } catch (error) {
      if (error instanceof NodeRpcError && error.code === RPC_NOT_FOUND) return null;
      throw error;
    }
  }

  async release(rawOrPsbt: string): Promise<void> {
    const locked = new Set(await this.#node.locked());
    await this.#node.setLocks(
      spentOutpoints(rawOrPsbt).filter((coin) => locked.has(coin)),
      false,
    );
  }

  async hold(rawsOrPsbts: readonly string[]): Promise<void> {
    const wanted = new Set(rawsOrPsbts.flatMap(spentOutpoints));
    const locked = new Set(await this.#node.locked());
    await this.#node.setLocks(
      [...wanted].filter((coin) => !locked.has(coin)),
      true,
    );
    await this.#node.setLocks(
      [...locked].filter((coin) => !wanted.has(coin)),
      false,
    );
  }

  /** What the node built is what was asked for: each output in its place, and behind them at most our change. */
  #checked(text: string, outputs: readonly RailOutput[]): BuildResult {
    const ours = readOwnPsbt(text, this.#descriptor);
    const { psbt } = ours;
    const isPaid = outputs.every(({ address, sats }, at) => {
      const { amount, script } = at < psbt.outputsLength ? psbt.getOutput(at) : {};
      return (
        amount === sats &&
        Buffer.compare(script ?? new Uint8Array(), scriptFromAddress(address, this.#network)) === 0
      );
    });
    if (!isPaid || psbt.outputsLength > outputs.length + 1 || !this.#isChangeOurs(ours, outputs.length)) {
      throw new Error('The node built another transaction than it was asked for: nothing is signed');
    }
    return this.#unsigned(text, ours, this.#descriptor.threshold);
  }

  #isChangeOurs({ psbt }: OwnPsbt, at: number): boolean {
    if (at >= psbt.outputsLength) return true;
    const output = psbt.getOutput(at);
    return locateScript(this.#descriptor, output.script ?? new Uint8Array(), derivationsOf(output)) !== null;
  }

  /** A descriptor of single keys has one address, and no branch of its own for change. */
  #onlyAddress(): string | null {
    if (isRanged(this.#descriptor)) return null;
    return addressFromScript(scriptAt(this.#descriptor, 'change', 0).script, this.#network);
  }

  /** Address of the change output, which comes behind the payees. */
  #changeOf(previous: PayoutTransaction, outputs: readonly RailOutput[]): string | null {
    const change = parseTransaction(Buffer.from(previous.rawTransaction, 'hex')).outputs[outputs.length];
    return change === undefined ? null : addressFromScript(change.script, this.#network);
  }

  #unsigned(psbt: string, { feeSats }: OwnPsbt, signaturesNeeded: number): BuildResult {
    return { state: 'unsigned', psbt, networkFeeSats: feeSats, signaturesNeeded };
  }
}
