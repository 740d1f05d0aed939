// The differences that a soak run found: counted by kind, the first of each kept in words.

/** A closed list: what can be wrong, as the report says it. */
export const DIFFERENCES = {
  lost: 'answered true, not in the journal as accepted',
  doubled: 'accepted more than once in the journal',
  told_twice: 'answered true more than once',
  never_sent: 'accepted in the journal, never sent by a miner',
  told_no: 'accepted in the journal, the miner was told no',
  wrong_difficulty: 'credited with another difficulty than announced with its job',
  wrong_target: 'judged by another target than its difficulty means, or above it',
  wrong_worker: 'credited to another worker than the one that sent it',
  duplicate_of_nothing: 'refused as a duplicate of a share that was not accepted',
  wrong_answer: 'answered otherwise than the share deserved',
  verdicts: 'verdicts in the journal, in the engine and at the miners that do not add up',
  sequence: 'sequence numbers of the journal with a gap or a repetition',
  protocol: 'what the pool must not do to a miner',
  memory: 'memory that grows',
} as const;

export type DifferenceKind = keyof typeof DIFFERENCES;

const EXAMPLES = 5;

export interface Difference {
  readonly kind: DifferenceKind;
  readonly count: number;
  readonly examples: readonly string[];
}

export class Differences {
  readonly #found = new Map<DifferenceKind, { count: number; examples: string[] }>();

  add(kind: DifferenceKind, example: string, count = 1): void {
    let found = this.#found.get(kind);
    if (found === undefined) {
      found = { count: 0, examples: [] };
      this.#found.set(kind, found);
    }
    found.count += count;
    if (found.examples.length < EXAMPLES) found.examples.push(example);
  }

  list(): Difference[] {
    return [...this.#found].map(([kind, found]) => ({ kind, ...found }));
  }
}
