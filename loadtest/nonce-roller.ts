// Walks the search space of one miner without ever visiting a place twice, so no share is found or
// sent twice. A place is (extranonce2, nonce): each header gets a new extranonce2, and with it other
// version bits where the pool allows rolling them. It belongs to the miner, not to a job or session:
// it never steps back, so two jobs with the same content, a changed mask, or a session resumed under
// the same extranonce1 cannot yield one header twice.
//
//   header h = 0, 1, 2, ...    extranonce2 = h, version bits = the h-th value inside the mask,
//                              nonces [block, block + 2^16): about 10 ms of one core
//   all extranonce2 values used: h = 0 again, with the next block of nonces

/** Nonces tried in one header before it is rolled on. Divides 2^32. */
export const NONCES_PER_HEADER = 2 ** 16;

/** Leading extranonce2 bytes above these stay zero: 2^48 headers outlast any run. */
const COUNTED_EXTRANONCE2_BYTES = 6;

/** One piece of the search space, given out once. */
export interface NonceRange {
  /** As it goes into the coinbase, counted with the most significant byte first. */
  readonly extranonce2: Uint8Array;
  /** Rolled version bits, inside the mask. */
  readonly versionBits: number;
  readonly firstNonce: number;
  /** At least 1; the range never crosses 2^32. */
  readonly count: number;
}

interface Walk {
  header: number;
  blockStart: number;
  nonceInBlock: number;
}

export class NonceRoller {
  // One walk per extranonce2 length (at most 33): values of different lengths never meet.
  readonly #walks = new Map<number, Walk>();

  /**
   * Takes the next range of at most `count` nonces.
   * @param count 1 or more
   * @param extranonce2Bytes 0 to 32
   * @param versionMask bits that may be rolled now, 0 for none
   * @returns null when every nonce of every extranonce2 of this length was given out
   */
  next(count: number, extranonce2Bytes: number, versionMask: number): NonceRange | null {
    const walk = this.#walkOf(extranonce2Bytes);
    if (walk.blockStart >= 2 ** 32) return null;
    const taken = Math.min(count, NONCES_PER_HEADER - walk.nonceInBlock);
    const range: NonceRange = {
      extranonce2: bigEndian(walk.header, extranonce2Bytes),
      versionBits: depositBits(walk.header + walk.blockStart / NONCES_PER_HEADER, versionMask),
      firstNonce: walk.blockStart + walk.nonceInBlock,
      count: taken,
    };
    walk.nonceInBlock += taken;
    if (walk.nonceInBlock === NONCES_PER_HEADER) {
      walk.nonceInBlock = 0;
      walk.header++;
      if (walk.header === 256 ** Math.min(extranonce2Bytes, COUNTED_EXTRANONCE2_BYTES)) {
        walk.header = 0;
        walk.blockStart += NONCES_PER_HEADER;
      }
    }
    return range;
  }

  #walkOf(extranonce2Bytes: number): Walk {
    let walk = this.#walks.get(extranonce2Bytes);
    if (walk === undefined) {
      walk = { header: 0, blockStart: 0, nonceInBlock: 0 };
      this.#walks.set(extranonce2Bytes, walk);
    }
    return walk;
  }
}

/** The low bits of `value`, one by one, into the set bits of `mask`, lowest first; the rest is dropped. */
export function depositBits(value: number, mask: number): number {
  let result = 0;
  let left = value;
  for (let bit = 0; bit < 32 && left > 0; bit++) {
    if (((mask >>> bit) & 1) === 0) continue;
    if (left % 2 === 1) result |= 1 << bit;
    left = Math.floor(left / 2);
  }
  return result >>> 0;
}

function bigEndian(value: number, bytes: number): Uint8Array {
  const result = new Uint8Array(bytes);
  let left = value;
  for (let i = bytes - 1; i >= 0 && left > 0; i--) {
    result[i] = left % 256;
    left = Math.floor(left / 256);
  }
  return result;
}
