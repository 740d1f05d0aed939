// Finds the outputs that make a wallet refuse a whole batch, by halving it: one bad row must not block all.
import { NodeRpcError } from '../node/rpc-error.js';
import type { RailOutput } from './rail.js';

/** True when the wallet objects to an address or amount, and not to its own coins, keys or state. */
export function objectsToOutputs(error: unknown): boolean {
  if (!(error instanceof NodeRpcError) || !error.answered) return false;
  switch (error.code) {
    // Invalid address or key; type error (an amount out of range).
    case -5:
    case -3:
      return true;
    // Invalid parameter; wallet error; insufficient funds, which old nodes say of dust as well.
    case -8:
    case -4:
    case -6:
      return /address|dust|amount too small|amount is too small/i.test(error.message);
    default:
      return false;
  }
}

/**
 * The outputs of a refused batch that are refused alone too, in about 2 x log2(n) tries for each. Empty when
 * every half passes: then it was not an output. `accepts` builds and forgets; it throws on any other trouble.
 */
export async function refusedOutputs(
  refusedBatch: readonly RailOutput[],
  accepts: (outputs: readonly RailOutput[]) => Promise<boolean>,
): Promise<RailOutput[]> {
  if (refusedBatch.length <= 1) return [...refusedBatch];
  const middle = Math.ceil(refusedBatch.length / 2);
  const found: RailOutput[] = [];
  for (const half of [refusedBatch.slice(0, middle), refusedBatch.slice(middle)]) {
    if (!(await accepts(half))) found.push(...(await refusedOutputs(half, accepts)));
  }
  return found;
}
