// Reads a JSON object of a Lightning node or service field by field and refuses what is missing, of the
// wrong kind or out of bounds. Amounts come as numbers or text, as versions of the nodes differ.

/** An answer without the promised shape; callers turn it into an error that names who answered. */
export class FieldError extends Error {
  override readonly name = 'FieldError';
}

const MSAT_MAX = 21_000_000n * 100_000_000_000n;

export function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new FieldError(`${what} is not an object`);
  }
  return value as Record<string, unknown>;
}

/** Text of at most `lengthMax` characters. */
export function textOf(value: unknown, what: string, lengthMax: number): string {
  if (typeof value !== 'string' || value.length > lengthMax) {
    throw new FieldError(`${what} is not a text of at most ${lengthMax} characters`);
  }
  return value;
}

/** Hex of exactly `bytes` bytes, made lower case. */
export function hexOf(value: unknown, what: string, bytes: number): string {
  if (typeof value !== 'string' || value.length !== bytes * 2 || !/^[0-9a-f]+$/i.test(value)) {
    throw new FieldError(`${what} is not ${bytes} bytes of hex`);
  }
  return value.toLowerCase();
}

/** A whole number of millisatoshi, 0 to all bitcoin: `1000`, `"1000"` or `"1000msat"`. */
export function msatOf(value: unknown, what: string): bigint {
  const text = typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : value;
  if (typeof text !== 'string' || !/^\d{1,19}(msat)?$/.test(text)) {
    throw new FieldError(`${what} is not a number of millisatoshi`);
  }
  const msat = BigInt(text.replace('msat', ''));
  if (msat > MSAT_MAX) throw new FieldError(`${what} is more bitcoin than exist`);
  return msat;
}
