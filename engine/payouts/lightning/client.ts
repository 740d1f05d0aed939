// What a payout needs of a Lightning node. Implemented by lnd-client.ts and cln-client.ts.

/** What became of a payment. `in_flight` may still become either; only the node's word makes it `failed`. */
export type PaymentStatus =
  | { state: 'unknown' }
  | { state: 'in_flight' }
  | { state: 'failed'; reason: string }
  | PaidStatus;

export interface PaidStatus {
  state: 'paid';
  /** 32 bytes, hex; its SHA-256 is the payment hash (checked). */
  preimage: string;
  /** Routing fees beyond the invoice's amount, millisatoshi. */
  feeMsat: bigint;
}

export interface NodeInfo {
  /** Public key of the node, 33 bytes, hex. */
  nodeId: string;
  /** The prefix of its invoices, as engine/payouts/lightning/bolt11.ts names it. */
  prefix: 'bc' | 'tb' | 'tbs' | 'bcrt';
  version: string;
  /** False while it catches up with the chain: it must not pay then. */
  synced: boolean;
}

/** The node's own reading of an invoice. */
export interface NodeDecode {
  paymentHash: string;
  payee: string;
  /** Null: the payer chooses. */
  amountMsat: bigint | null;
}

export interface PayTerms {
  bolt11: string;
  /** For invoices that carry only the hash of their description; Core Lightning checks it. */
  description: string | null;
  maxFeeSats: bigint;
  /** Seconds that the node looks for routes. Coins may be in flight for longer. */
  timeoutS: number;
}

export interface LightningClient {
  info(): Promise<NodeInfo>;
  decode(bolt11: string): Promise<NodeDecode>;
  /**
   * Pays, or joins a payment of this invoice that runs already. `failed` is only said when the node said so
   * and nothing of it is in flight any more. Throws LightningNodeError when the outcome is not known: the
   * money may be on its way, ask `status`.
   */
  pay(terms: PayTerms): Promise<PaymentStatus>;
  /**
   * What the node knows of a payment hash (32 bytes, hex). Between two routes Core Lightning says `failed`
   * of a payment it goes on with (ElementsProject/lightning#9036): believe that word only when the time
   * given to `pay` is over. Throws LightningNodeError when the node does not answer.
   */
  status(paymentHash: string): Promise<PaymentStatus>;
}

/** The node did not answer, refused, or answered nonsense. Says nothing about a payment. */
export class LightningNodeError extends Error {
  override readonly name = 'LightningNodeError';
}
