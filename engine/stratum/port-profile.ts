import type { Transport } from '../../storage/journal/record.js';
import type { Scheme } from '../accounting/schemes.js';

/** One listening port and what it gives the miners who come by it. */
export interface PortProfile {
  /** For logs, metrics and the startup table; e.g. "stratum", "farm-1". */
  readonly name: string;
  readonly port: number;
  readonly kind: Transport;
  /** Difficulty for a newcomer about whom nothing is known; null: the pool's. */
  readonly startDifficulty: number | null;
  /** vardiff bounds of the port; null: the pool's. */
  readonly minDifficulty: number | null;
  readonly maxDifficulty: number | null;
  /** How work that comes by it is paid where the account does not say; absent or null: the pool's. */
  readonly scheme?: Scheme | null;
}
