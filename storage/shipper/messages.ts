// What the shipper thread and the thread that started it say to each other.
import type { NetworkName } from '../../engine/bitcoin/networks.js';
import type { ClickHouseOptions } from '../clickhouse/client.js';
import type { JournalPosition } from '../journal/batch.js';
import type { JournalLane } from '../journal/lanes.js';
import type { Scheme } from '../postgres/account-directory.js';

/** workerData of shipper-thread.ts. */
export interface ShipperSettings {
  /** Every journal of the pool, those of former connection threads too. */
  lanes: JournalLane[];
  /** Decides which account names are payout addresses. */
  network: NetworkName;
  /** Scheme of accounts that chose none. */
  defaultScheme: Scheme;
  clickhouse: ClickHouseOptions;
  postgresUrl: string;
  /** Seconds until a store that does not answer counts as away. */
  timeoutS: number;
}

export type Consumer = 'clickhouse' | 'ledger';

export type ToShipper =
  /** The journal of node `nodeId` was sealed up to `seq`: look now instead of at the next poll. */
  | { type: 'sealed'; nodeId: number; seq: number }
  /** Deliver what is sealed, for at most `deadlineMs`, then end. */
  | { type: 'stop'; deadlineMs: number };

/** How far one store has one lane. */
export interface ConsumerStatus {
  consumer: Consumer;
  nodeId: number;
  /** Last sequence number that the store has for certain; 0 before the first. */
  shippedSeq: number;
  /**
   * Accepted shares of the node among those up to `shippedSeq`, since the first start: what a count in the
   * store must equal. Null until this run has delivered a batch.
   */
  acceptedTotal: number | null;
  /** Sealed shares that the store does not have yet, as far as known. */
  lagShares: number;
  state: 'ok' | 'away';
  /** Why it is away, one sentence for the operator; null when it is not. */
  error: string | null;
  /** Segments of the node below this one are no longer needed by this consumer. Null before the first batch. */
  position: JournalPosition | null;
}

export type FromShipper =
  | ({ type: 'status' } & ConsumerStatus)
  | { type: 'log'; level: 'info' | 'warn' | 'error'; message: string }
  /** The thread ends now; `drained` when both stores have all that was sealed. */
  | { type: 'stopped'; drained: boolean };
