// What `sim-miners.ts` and the process that forked it tell each other, as plain JSON.

/** Parent to miners: set the hash rate of the whole fleet. */
export interface HashrateCommand {
  readonly type: 'hashrate';
  /** Hashes per second; null or 0: as fast as the machine allows. */
  readonly hs: number | null;
}

/** Miners to parent, once a second and a last time before they end. Counts run from the start. */
export interface SimMinersStats {
  readonly type: 'stats';
  readonly miners: number;
  /** Miners that are authorized on a live connection now. */
  readonly connected: number;
  /** Nonces tried. */
  readonly hashes: number;
  /** Hashes per second since the message before. */
  readonly hashrate: number;
  readonly submitted: number;
  /** Shares answered `true`. */
  readonly accepted: number;
  /** Sum of the difficulties of the accepted shares, each as its job was received. */
  readonly acceptedDifficulty: number;
  /** Shares answered with an error, by `"<code> <message>"`. */
  readonly rejected: Record<string, number>;
  /** Shares whose answer will never come, as the connection ended first. */
  readonly unanswered: number;
}

/** Reads a message of the parent. Null when it is not one of ours or its rate makes no sense. */
export function readHashrateCommand(message: unknown): HashrateCommand | null {
  if (typeof message !== 'object' || message === null) return null;
  const { type, hs } = message as Record<string, unknown>;
  if (type !== 'hashrate') return null;
  if (hs === null) return { type, hs };
  return typeof hs === 'number' && Number.isFinite(hs) && hs >= 0 ? { type, hs } : null;
}
