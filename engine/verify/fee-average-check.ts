// The average fees that FPPS pays, from the fees of the 144 blocks that were stored for it.
import type { Database } from '../../storage/postgres/connection.js';
import { EPOCH_BLOCKS } from './scheme-rules.js';
import { IncompleteError, type InputDifferences } from './verdict.js';

export class FeeAverageCheck {
  readonly #database: Database;
  readonly #inputs: InputDifferences;
  readonly #averages = new Map<number, bigint>();

  constructor(database: Database, inputs: InputDifferences) {
    this.#database = database;
    this.#inputs = inputs;
  }

  /** What work for the block at `height` is paid besides the subsidy: floor(fees of the epoch before / 144). */
  async at(height: number): Promise<bigint> {
    const epoch = Math.floor(height / EPOCH_BLOCKS) - 1;
    if (epoch < 0) return 0n;
    const known = this.#averages.get(epoch);
    if (known !== undefined) return known;
    const [row] = await this.#database<{ fees: bigint[]; total: bigint; average: bigint }[]>`
      select block_fees_sats as fees, total_fees_sats as total, average_fees_sats as average
      from fee_averages where epoch = ${epoch}`;
    if (row === undefined) throw new IncompleteError(`the fees of epoch ${epoch} are not stored`);
    const total = row.fees.reduce((sum, fees) => sum + BigInt(fees), 0n);
    const average = total / BigInt(EPOCH_BLOCKS);
    this.#inputs.compare(`blocks of epoch ${epoch}`, row.fees.length, EPOCH_BLOCKS);
    this.#inputs.compare(`total fees of epoch ${epoch}`, row.total, total);
    this.#inputs.compare(`average fees of epoch ${epoch}`, row.average, average);
    this.#averages.set(epoch, average);
    return average;
  }
}
