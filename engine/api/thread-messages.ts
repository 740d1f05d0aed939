// What the coordinator (main thread) and the API thread tell each other.
import type { ClickHouseOptions } from '../../storage/clickhouse/client.js';
import type { PoolSnapshot } from './snapshot.js';

export interface ApiThreadSettings {
  host: string;
  /** The first of the ports that are tried. */
  port: number;
  /** Ports tried in all when the first ones are busy; 20 when not given. */
  portsTried?: number;
  /** Where exports read shares, best as a user who may only read; without it there are none. */
  clickhouse?: ClickHouseOptions;
}

/** How a node answered submitblock; label of pool_block_submit_duration_seconds. */
export type BlockSubmitResult = 'accepted' | 'duplicate' | 'inconclusive' | 'rejected' | 'error';

export type ToApiThread =
  | { type: 'snapshot'; snapshot: PoolSnapshot }
  | { type: 'block_submitted'; result: BlockSubmitResult; durationS: number }
  /** Stop accepting, answer what is in flight, then exit. */
  | { type: 'stop' };

export type FromApiThread =
  /** `port` differs from the one asked for when that was busy. `library` names the uWebSockets.js in use. */
  | { type: 'listening'; host: string; port: number; library: string }
  /** It cannot serve; the thread ends. `reason` is a sentence for the operator. */
  | { type: 'failed'; reason: string }
  | { type: 'log'; level: 'info' | 'warn' | 'error'; message: string; fields?: Record<string, unknown> }
  | { type: 'stopped' };
