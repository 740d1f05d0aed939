// Reads what a node answered, field by field, and refuses what is missing or of the wrong kind. A number is
// taken as such or as text, which some nodes' front ends make of long ones. Amounts in bitcoin become exact
// satoshis here.

/** An answer without the promised shape; rpc-connection.ts turns it into a NodeRpcError. */
export class AnswerShapeError extends Error {
  override readonly name = 'AnswerShapeError';
}

const SATS_PER_BTC = 100_000_000n;
const AMOUNT = /^(-?)(\d{1,8})(?:\.(\d{1,8}))?$/;

/**
 * Satoshis of an amount in bitcoin as the node writes it, exactly. Money has at most 16 significant digits
 * (21 million with 8 decimals), which a double tells apart, so nothing is lost on the way through JSON.
 * Throws on anything that is not a whole number of satoshis.
 */
export function satoshisFromBtc(amount: number | string): bigint {
  const text = typeof amount === 'number' ? amount.toFixed(8) : plainDecimal(amount);
  const match = AMOUNT.exec(text);
  if (match === null || Number(text) !== Number(amount)) {
    throw new AnswerShapeError(`${JSON.stringify(amount)} is not an amount in bitcoin`);
  }
  const [, sign, whole = '0', fraction = ''] = match;
  const sats = BigInt(whole) * SATS_PER_BTC + BigInt(fraction.padEnd(8, '0'));
  return sign === '-' ? -sats : sats;
}

/** Decimal bitcoin with eight places, as the node accepts amounts. */
export function btcFromSatoshis(sats: bigint): string {
  const magnitude = sats < 0n ? -sats : sats;
  const fraction = String(magnitude % SATS_PER_BTC).padStart(8, '0');
  return `${sats < 0n ? '-' : ''}${magnitude / SATS_PER_BTC}.${fraction}`;
}

/** A number, also one written as text. Throws when it is none. */
export function numberOf(value: unknown, what: string): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isFinite(number)) {
    throw new AnswerShapeError(`${what} is not a number`);
  }
  return number;
}

/** 64 hex characters: a block or transaction hash in display order. */
export function hashOf(value: unknown, what: string): string {
  if (typeof value !== 'string' || !/^[0-9a-f]{64}$/.test(value)) {
    throw new AnswerShapeError(`${what} is not a hash`);
  }
  return value;
}

/** Any text. */
export function textOf(value: unknown, what: string): string {
  if (typeof value !== 'string') throw new AnswerShapeError(`${what} is not a text`);
  return value;
}

/** A list. */
export function listOf(value: unknown, what: string): unknown[] {
  if (!Array.isArray(value)) throw new AnswerShapeError(`${what} is not a list`);
  return value;
}

/** One JSON object, read by key; a missing or wrong field throws AnswerShapeError with its name. */
export class AnswerFields {
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(value: unknown) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new AnswerShapeError('not an object');
    }
    this.#fields = value as Record<string, unknown>;
  }

  has(key: string): boolean {
    return this.#fields[key] !== undefined && this.#fields[key] !== null;
  }

  number(key: string): number {
    return numberOf(this.#fields[key], key);
  }

  integer(key: string): number {
    const number = this.number(key);
    if (!Number.isSafeInteger(number)) throw new AnswerShapeError(`${key} is not a whole number`);
    return number;
  }

  text(key: string): string {
    return textOf(this.#fields[key], key);
  }

  hash(key: string): string {
    return hashOf(this.#fields[key], key);
  }

  flag(key: string): boolean {
    const value = this.#fields[key];
    if (typeof value !== 'boolean') throw new AnswerShapeError(`${key} is not true or false`);
    return value;
  }

  sats(key: string): bigint {
    const value = this.#fields[key];
    if (typeof value !== 'number' && typeof value !== 'string') {
      throw new AnswerShapeError(`${key} is not an amount`);
    }
    return satoshisFromBtc(value);
  }

  list(key: string): unknown[] {
    return listOf(this.#fields[key], key);
  }

  object(key: string): AnswerFields {
    return new AnswerFields(this.#fields[key]);
  }

  /** Text, or the lines of a list as one: `warnings` became a list in Core 28. */
  joined(key: string): string {
    const value = this.#fields[key];
    return Array.isArray(value) ? value.map(String).join('; ') : typeof value === 'string' ? value : '';
  }

  keys(): string[] {
    return Object.keys(this.#fields);
  }
}

function plainDecimal(text: string): string {
  return /^-?\d+(\.\d+)?$/.test(text) ? text : '';
}
