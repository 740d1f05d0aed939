/** One listening port and what it gives the miners who come by it. */
export interface PortProfile {
  /** For logs, metrics and the startup table; e.g. "stratum", "farm-1". */
  readonly name: string;
  readonly port: number;
  readonly kind: 'tcp' | 'tls' | 'ws';
  /** Difficulty for a newcomer about whom nothing is known; null: the pool's. */
  readonly startDifficulty: number | null;
  /** vardiff bounds of the port; null: the pool's. */
  readonly minDifficulty: number | null;
  readonly maxDifficulty: number | null;
}
