// Chance that follows from a seed, so that a soak run can be repeated with the same miners. Timing, and with it what
// meets what, differs from run to run all the same.

/** Evenly spread in [0, 1). */
export type Random = () => number;

/**
 * Mulberry32 (Tommy Ettinger, public domain): 32 bits of state, good enough to choose habits with.
 * @param seed a whole number; only its low 32 bits count
 */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Waiting time of something that comes at random, in the unit of its mean. */
export function waitingTime(random: Random, mean: number): number {
  return -mean * Math.log(1 - random());
}

/** One of the choices, as often as its weight says. @throws RangeError without any */
export function weighted<Choice>(random: Random, choices: readonly (readonly [Choice, number])[]): Choice {
  let left = random() * choices.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [choice, weight] of choices) {
    left -= weight;
    if (left < 0) return choice;
  }
  const last = choices.at(-1);
  if (last === undefined) throw new RangeError('nothing to choose from');
  return last[0];
}
