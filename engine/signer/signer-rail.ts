// A watched wallet with signers that the pool may ask (engine/signer): builds, asks each, puts together. With k signers a
// payout is complete at once; with fewer it comes back unsigned, for the other key holders.

import type { MultisigRail } from '../payouts/multisig-rail.js';
import type { BuildResult, BuildTerms, PayoutRail, PayoutTransaction, RailOutput } from '../payouts/rail.js';
import { type SignerClient, SignerClientError } from './signer-client.js';

export class SignerRail implements PayoutRail {
  readonly name = 'signer';
  readonly #watched: MultisigRail;
  readonly #signers: readonly SignerClient[];

  constructor(watched: MultisigRail, signers: readonly SignerClient[]) {
    this.#watched = watched;
    this.#signers = signers;
  }

  async build(outputs: readonly RailOutput[], terms: BuildTerms): Promise<BuildResult> {
    const built = await this.#watched.build(outputs, terms);
    return await this.#sign(built, (psbt) => this.#watched.release(psbt));
  }

  /** As MultisigRail.combine: the first is ours. Asks no signer. */
  combine(psbts: readonly string[]): Promise<BuildResult> {
    return this.#watched.combine(psbts);
  }

  async bump(
    previous: PayoutTransaction,
    outputs: readonly RailOutput[],
    feeRateSatPerVb: number,
  ): Promise<BuildResult> {
    // The inputs of `previous` stay locked whatever the signers say; `hold` frees what was added.
    return await this.#sign(await this.#watched.bump(previous, outputs, feeRateSatPerVb), async () => {});
  }

  broadcast(rawTransaction: string): Promise<void> {
    return this.#watched.broadcast(rawTransaction);
  }

  confirmations(txid: string): Promise<number | null> {
    return this.#watched.confirmations(txid);
  }

  release(rawOrPsbt: string): Promise<void> {
    return this.#watched.release(rawOrPsbt);
  }

  hold(rawsOrPsbts: readonly string[]): Promise<void> {
    return this.#watched.hold(rawsOrPsbts);
  }

  async #sign(built: BuildResult, giveUp: (psbt: string) => Promise<void>): Promise<BuildResult> {
    if (built.state === 'signed') return built;
    try {
      const copies: string[] = [];
      for (const signer of this.#signers) copies.push((await signer.sign(built.psbt)).psbt);
      return await this.#watched.combine([built.psbt, ...copies]);
    } catch (error) {
      await giveUp(built.psbt);
      throw error instanceof SignerClientError ? new Error(`Payout not signed. ${error.message}`) : error;
    }
  }
}
