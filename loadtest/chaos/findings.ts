// What a kill loop found wrong: by sentence, counted, the first of each with an example.
import { DIFFERENCES, type Difference } from '../soak/differences.js';

const EXAMPLES = 5;

export interface Finding {
  readonly what: string;
  readonly count: number;
  readonly examples: readonly string[];
}

export class Findings {
  readonly #found = new Map<string, { count: number; examples: string[] }>();

  add(what: string, example: string, count = 1): void {
    const found = this.#found.get(what) ?? { count: 0, examples: [] };
    this.#found.set(what, found);
    found.count += count;
    if (found.examples.length < EXAMPLES) found.examples.push(example);
  }

  /** Those of a comparison of the miners' books with a store. @param where `the journal`, `ClickHouse` */
  addAll(differences: readonly Difference[], where: string): void {
    for (const { kind, count, examples } of differences) {
      const what = DIFFERENCES[kind].replaceAll('the journal', where);
      this.#found.set(`${where}: ${what}`, { count, examples: [...examples] });
    }
  }

  list(): Finding[] {
    return [...this.#found].map(([what, found]) => ({ what, ...found }));
  }
}
