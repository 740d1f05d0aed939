// A rail carries payouts to their addresses: it builds and signs transactions without sending them, sends
// bytes that were stored first, and says what became of them. The payout engine (payout-runner.ts) decides;
// rails are the node's own wallet (node-wallet.ts) and a multisig by PSBT (BIP174).

export interface RailOutput {
  address: string;
  sats: bigint;
}

export interface PayoutTransaction {
  /** Display order hex. */
  txid: string;
  /** The exact bytes to broadcast, hex. */
  rawTransaction: string;
  /** Inputs less outputs. */
  networkFeeSats: bigint;
}

/** `signed`: complete, ready to be stored and sent. `unsigned`: signatures have to be collected first. */
export type BuildResult =
  | { state: 'signed'; transaction: PayoutTransaction }
  | {
      state: 'unsigned';
      /** Base64 (BIP174). */
      psbt: string;
      networkFeeSats: bigint;
      /** Signatures that each input still lacks. */
      signaturesNeeded: number;
    };

export interface BuildTerms {
  /** Satoshis a virtual byte; null leaves the fee to the wallet. */
  feeRateSatPerVb: number | null;
}

export interface PayoutRail {
  /** For messages and rows: `node wallet`, `multisig`. */
  readonly name: string;
  /**
   * Builds a transaction that pays `outputs` in their order, change apart, and locks its inputs; sends
   * nothing. The fee is not taken from the outputs.
   */
  build(outputs: readonly RailOutput[], terms: BuildTerms): Promise<BuildResult>;
  /** Puts signatures of several copies of one PSBT together; `signed` when they suffice. Base64. */
  combine(psbts: readonly string[]): Promise<BuildResult>;
  /**
   * A replacement (BIP125) of `previous` with the same outputs and a higher fee. It keeps every input of
   * `previous`, so that only one of the two can ever be mined. Sends nothing.
   */
  bump(
    previous: PayoutTransaction,
    outputs: readonly RailOutput[],
    feeRateSatPerVb: number,
  ): Promise<BuildResult>;
  /** Hands the bytes to the node. Throws only when the node did not take them and does not have them. */
  broadcast(rawTransaction: string): Promise<void>;
  /** Confirmations of a transaction of ours; 0 in the mempool, negative in conflict, null unknown. */
  confirmations(txid: string): Promise<number | null>;
  /** Unlocks the inputs of a transaction (hex) or PSBT (base64) that was never stored. Safe to repeat. */
  release(rawOrPsbt: string): Promise<void>;
  /**
   * Locks exactly the inputs of these transactions (hex) and PSBTs (base64), as far as they are unspent, and
   * unlocks every other coin: what the store knows is what is locked, also after a crash of either side. The
   * runner calls it before each build, with all that is stored and not settled.
   */
  hold(rawsOrPsbts: readonly string[]): Promise<void>;
}
