// Turns of a thread that takes shares: one a millisecond, as a connection thread under load reads its sockets. Sleeps to
// the microsecond (timers are coarse by a millisecond), and lets the event loop have its turn each time.

const TURN_MS = 1;

/**
 * Calls `turn` each millisecond until it returns false. What a late turn missed is its own affair: it comes at once.
 * @returns a promise that resolves after the last turn
 */
export function runTurns(turn: () => boolean): Promise<void> {
  const never = new Int32Array(new SharedArrayBuffer(4));
  let dueMs = performance.now();
  return new Promise((resolve, reject) => {
    const next = (): void => {
      try {
        dueMs = Math.max(dueMs + TURN_MS, performance.now() - TURN_MS);
        const aheadMs = dueMs - performance.now();
        if (aheadMs > 0) Atomics.wait(never, 0, 0, aheadMs);
        if (turn()) setImmediate(next);
        else resolve();
      } catch (error) {
        reject(error as Error);
      }
    };
    setImmediate(next);
  });
}

/** Wall clock in milliseconds with its fraction; steady while the process lives. */
export function wallMs(): number {
  return performance.timeOrigin + performance.now();
}
