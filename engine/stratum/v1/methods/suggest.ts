// mining.suggest_difficulty [difficulty] and mining.suggest_target [64 hex digits, big-endian]: the miner's wish for
// its next jobs. It goes out with a job that the miner has not seen; vardiff stays on and goes on from there.
// https://en.bitcoin.it/wiki/Stratum_mining_protocol
import { difficultyFromTarget, MIN_DIFFICULTY } from '../../../bitcoin/target.js';
import { roundedDifficulty } from '../../../work/vardiff.js';
import { StratumError } from '../reply.js';
import type { Session } from '../session.js';

const TARGET = /^[0-9a-fA-F]{64}$/;

export function suggestDifficulty(session: Session, params: readonly unknown[]): true {
  const [difficulty] = params;
  if (typeof difficulty !== 'number' || !Number.isFinite(difficulty) || difficulty <= 0) {
    throw new StratumError(20, 'mining.suggest_difficulty needs a number above 0');
  }
  session.proposeDifficulty(workable(difficulty), 'suggested');
  return true;
}

export function suggestTarget(session: Session, params: readonly unknown[]): true {
  const [target] = params;
  if (typeof target !== 'string' || !TARGET.test(target)) {
    throw new StratumError(20, 'mining.suggest_target needs 64 hex digits');
  }
  const value = BigInt(`0x${target}`);
  if (value === 0n) throw new StratumError(20, 'No hash meets a target of 0');
  session.proposeDifficulty(workable(difficultyFromTarget(value)), 'suggested');
  return true;
}

/**
 * Firmware that cuts a fraction off would work at another target than the one it is judged by. The smallest doubles have
 * no eight bits to round to.
 */
export function workable(difficulty: number): number {
  return Number.isInteger(difficulty) ? difficulty : roundedDifficulty(Math.max(MIN_DIFFICULTY, difficulty));
}
