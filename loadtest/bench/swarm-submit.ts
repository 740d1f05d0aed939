// The submits of one simulated connection and the book of those that wait for their answer.
//
// A line is made once per job; a submit only overwrites its digits:
//   {"id":123456789,"method":"mining.submit","params":["user.7","1f","00000000075bcd15","68d1a2b3","9e3779b1"]}
//         ^ number of the submit                                     ^ the number in hex             ^ spread

/** Submits that may wait for an answer at a time, in all. */
export const SUBMITS_OPEN_MAX = 1 << 20;
const FIRST_ID = 100_000_000;
const ID_DIGITS = 9;
/** Golden ratio: every nonce once in 2^32 submits, and no two alike in their high bits. */
const SPREAD = 0x9e3779b1;

const ZERO = 0x30;
const HEX = Buffer.from('0123456789abcdef');

/** The line of a connection for one job. `bytes` holds the submit that `number` was last told. */
export class SubmitLine {
  readonly bytes: Buffer;
  readonly #idEnd: number;
  readonly #extranonce2At: number;
  readonly #extranonce2Digits: number;
  readonly #nonceAt: number;

  /**
   * @param user as authorized; printable ASCII without quote and backslash, like the job id
   * @param ntime 8 hex digits
   */
  constructor(user: string, jobId: string, extranonce2Bytes: number, ntime: string) {
    const id = '{"id":';
    const head = `${id}${'0'.repeat(ID_DIGITS)},"method":"mining.submit","params":["${user}","${jobId}","`;
    const tail = `${'0'.repeat(extranonce2Bytes * 2)}","${ntime}","`;
    this.bytes = Buffer.from(`${head}${tail}00000000"]}\n`, 'latin1');
    this.#idEnd = id.length + ID_DIGITS;
    // Its low four bytes count; a shorter extranonce2 has fewer, and the nonce makes up for it.
    this.#extranonce2Digits = Math.min(8, extranonce2Bytes * 2);
    this.#extranonce2At = head.length + extranonce2Bytes * 2 - this.#extranonce2Digits;
    this.#nonceAt = head.length + tail.length;
  }

  /** Makes the line the submit with this number, 9 digits: its extranonce2 and nonce follow from it. */
  number(id: number): void {
    const { bytes } = this;
    const idEnd = this.#idEnd;
    for (let at = idEnd - 1, left = id; at >= idEnd - ID_DIGITS; at--) {
      const rest = (left / 10) | 0;
      bytes[at] = ZERO + left - rest * 10;
      left = rest;
    }
    hexDigits(bytes, this.#extranonce2At, this.#extranonce2Digits, id);
    hexDigits(bytes, this.#nonceAt, 8, Math.imul(id, SPREAD));
  }
}

function hexDigits(bytes: Buffer, at: number, digits: number, value: number): void {
  for (let i = at + digits - 1, left = value; i >= at; i--) {
    bytes[i] = HEX[left & 15] as number;
    left >>>= 4;
  }
}

/** Numbers submits, and knows of each open one whose it is and when it was to be sent. */
export class SubmitBook {
  /** Number of the miner + 1 of each open submit, 0 where none is open. */
  readonly #miners = new Int32Array(SUBMITS_OPEN_MAX);
  readonly #plannedMs = new Float64Array(SUBMITS_OPEN_MAX);
  #next = FIRST_ID;
  #open = 0;

  /** Submits so far. */
  get submitted(): number {
    return this.#next - FIRST_ID;
  }

  /** Submits that wait for their answer. */
  get open(): number {
    return this.#open;
  }

  /** Number of a new submit. Throws when the one a million before it is still open: nobody answers. */
  add(miner: number, plannedMs: number): number {
    const id = this.#next++;
    const slot = id & (SUBMITS_OPEN_MAX - 1);
    if (this.#miners[slot] !== 0) throw new Error(`submit ${id - SUBMITS_OPEN_MAX} was never answered`);
    this.#miners[slot] = miner + 1;
    this.#plannedMs[slot] = plannedMs;
    this.#open++;
    return id;
  }

  /** An answer has come. Returns when the submit was planned, NaN when that miner has none of this number open. */
  settle(id: number, miner: number): number {
    const slot = id & (SUBMITS_OPEN_MAX - 1);
    const age = this.#next - id;
    if (age <= 0 || age > SUBMITS_OPEN_MAX || this.#miners[slot] !== miner + 1) return Number.NaN;
    this.#miners[slot] = 0;
    this.#open--;
    return this.#plannedMs[slot] as number;
  }
}
