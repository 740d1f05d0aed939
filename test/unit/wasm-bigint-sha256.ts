// SHA-256 with nothing but integers, as FIPS 180-4 writes it down: an oracle that shares neither code nor
// constants with wasm/ or OpenSSL (the constants are computed from the primes). About 0.1 ms a block.

const WORD = (1n << 32n) - 1n;
const PRIMES = firstPrimes(64);
/** First 32 bits of the fractional parts of the cube roots of the first 64 primes (4.2.2). */
const K = PRIMES.map((prime) => root(prime << 96n, 3n) & WORD);
/** The same of the square roots of the first eight (5.3.3). */
const INITIAL = PRIMES.slice(0, 8).map((prime) => root(prime << 64n, 2n) & WORD);

/** Double SHA-256 of `data`: 32 bytes as hashed. */
export function sha256dByIntegers(data: Uint8Array): Uint8Array {
  return bytes(sha256(bytes(sha256(data))));
}

/** The eight words of the digest. */
function sha256(data: Uint8Array): bigint[] {
  let message = BigInt(`0x00${Buffer.from(data).toString('hex')}`);
  const zeros = (((447 - 8 * data.length) % 512) + 512) % 512;
  message = (((message << 1n) | 1n) << BigInt(zeros + 64)) | BigInt(8 * data.length);
  const blocks = (data.length * 8 + 1 + zeros + 64) / 512;
  let state = INITIAL;
  for (let i = blocks - 1; i >= 0; i--) state = compress(state, message >> BigInt(512 * i));
  return state;
}

/** 6.2.2; the block is the lowest 512 bits. */
function compress(state: bigint[], block: bigint): bigint[] {
  const w: bigint[] = [];
  for (let t = 0; t < 64; t++) {
    const back = (distance: number): bigint => w[t - distance] as bigint;
    w.push(
      t < 16
        ? (block >> BigInt(32 * (15 - t))) & WORD
        : (small(back(2), 17n, 19n, 10n) + back(7) + small(back(15), 7n, 18n, 3n) + back(16)) & WORD,
    );
  }
  let [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n, f = 0n, g = 0n, h = 0n] = state;
  for (let t = 0; t < 64; t++) {
    const choice = (e & f) ^ (~e & WORD & g);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    const t1 = h + (turn(e, 6n) ^ turn(e, 11n) ^ turn(e, 25n)) + choice + (K[t] ?? 0n) + (w[t] ?? 0n);
    const t2 = (turn(a, 2n) ^ turn(a, 13n) ^ turn(a, 22n)) + majority;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) & WORD, c, b, a, (t1 + t2) & WORD];
  }
  return [a, b, c, d, e, f, g, h].map((word, i) => (word + (state[i] ?? 0n)) & WORD);
}

function turn(word: bigint, bits: bigint): bigint {
  return ((word >> bits) | (word << (32n - bits))) & WORD;
}

function small(word: bigint, turn1: bigint, turn2: bigint, shift: bigint): bigint {
  return turn(word, turn1) ^ turn(word, turn2) ^ (word >> shift);
}

function bytes(words: bigint[]): Uint8Array {
  return Buffer.from(words.map((word) => word.toString(16).padStart(8, '0')).join(''), 'hex');
}

/** The largest integer whose `power` is not above `value`, by bisection. */
function root(value: bigint, power: bigint): bigint {
  let low = 0n;
  let high = 1n << 64n;
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** power <= value) low = middle;
    else high = middle;
  }
  return low;
}

function firstPrimes(count: number): bigint[] {
  const primes: bigint[] = [];
  for (let n = 2n; primes.length < count; n++) if (primes.every((prime) => n % prime !== 0n)) primes.push(n);
  return primes;
}
