// Transactions on the wire, with and without witness (BIP144), and their ids (BIP141). Used to look into blocks
// and payouts, and by tests. The share path never parses a transaction.
// https://github.com/bitcoin/bips/blob/master/bip-0144.mediawiki

import { sha256d } from './hash.js';

export interface TransactionInput {
  /** 32 bytes as hashed. */
  readonly previousTxid: Uint8Array;
  /** uint32; 0xffffffff in a coinbase. */
  readonly previousIndex: number;
  readonly scriptSig: Uint8Array;
  /** uint32. */
  readonly sequence: number;
  /** Stack items; empty for an input without witness. */
  readonly witness: readonly Uint8Array[];
}

export interface TransactionOutput {
  /** Satoshis, 0 .. 2^64-1 on the wire. */
  readonly sats: bigint;
  readonly script: Uint8Array;
}

export interface Transaction {
  /** uint32. */
  readonly version: number;
  readonly inputs: readonly TransactionInput[];
  readonly outputs: readonly TransactionOutput[];
  /** uint32. */
  readonly lockTime: number;
}

/** Compact size of `value` (0 .. 2^53-1): 1, 3, 5 or 9 bytes, shortest form. */
export function encodeVarint(value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is not a count`);
  if (value < 0xfd) return Uint8Array.of(value);
  const bytes = new Uint8Array(value <= 0xffff ? 3 : value <= 0xffffffff ? 5 : 9);
  const view = new DataView(bytes.buffer);
  if (value <= 0xffff) {
    bytes[0] = 0xfd;
    view.setUint16(1, value, true);
  } else if (value <= 0xffffffff) {
    bytes[0] = 0xfe;
    view.setUint32(1, value, true);
  } else {
    bytes[0] = 0xff;
    view.setBigUint64(1, BigInt(value), true);
  }
  return bytes;
}

/** Reads wire data from the front. Every read past the end throws RangeError. */
export class ByteReader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  offset: number;

  constructor(bytes: Uint8Array, offset = 0) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.offset = offset;
  }

  /** Bytes that are left. */
  get left(): number {
    return this.bytes.length - this.offset;
  }

  /** The next `length` bytes, copied. */
  take(length: number): Uint8Array {
    return this.bytes.slice(this.#advance(length), this.offset);
  }

  /** Next uint8. */
  uint8(): number {
    return this.view.getUint8(this.#advance(1));
  }

  /** Next uint16, little-endian. */
  uint16(): number {
    return this.view.getUint16(this.#advance(2), true);
  }

  /** Next uint32, little-endian. */
  uint32(): number {
    return this.view.getUint32(this.#advance(4), true);
  }

  /** Next uint64, little-endian. */
  uint64(): bigint {
    return this.view.getBigUint64(this.#advance(8), true);
  }

  /** Next compact size; a longer form than needed throws, as consensus demands. */
  varint(): number {
    const first = this.uint8();
    if (first < 0xfd) return first;
    const value = first === 0xfd ? this.uint16() : first === 0xfe ? this.uint32() : Number(this.uint64());
    const least = first === 0xfd ? 0xfd : first === 0xfe ? 0x10000 : 0x100000000;
    if (value < least) throw new RangeError(`count ${value} is not in its shortest form`);
    if (!Number.isSafeInteger(value)) throw new RangeError(`count ${value} is too large`);
    return value;
  }

  /** Next count of things that take at least `bytesEach` bytes: bounded by what is left, so no forged count allocates. */
  count(bytesEach: number): number {
    const value = this.varint();
    if (value > this.left / bytesEach) throw new RangeError(`count ${value} is more than the data holds`);
    return value;
  }

  #advance(length: number): number {
    if (length > this.left) throw new RangeError(`data ends ${length - this.left} bytes too early`);
    const at = this.offset;
    this.offset += length;
    return at;
  }
}

/** The transaction at the reader's place, with or without witness; moves the reader behind it. Throws RangeError. */
export function readTransaction(reader: ByteReader): Transaction {
  const version = reader.uint32();
  let hasWitness = false;
  // No input at all, then a flag: the BIP144 marker.
  if (reader.left >= 2 && reader.view.getUint8(reader.offset) === 0) {
    reader.uint8();
    const flag = reader.uint8();
    if (flag !== 1) throw new RangeError(`transaction without inputs or with unknown flag ${flag}`);
    hasWitness = true;
  }
  const bareInputs = readMany(reader, 41, () => ({
    previousTxid: reader.take(32),
    previousIndex: reader.uint32(),
    scriptSig: reader.take(reader.count(1)),
    sequence: reader.uint32(),
  }));
  const outputs = readMany(reader, 9, () => ({
    sats: reader.uint64(),
    script: reader.take(reader.count(1)),
  }));
  const inputs = bareInputs.map((input) => ({
    ...input,
    witness: hasWitness ? readMany(reader, 1, () => reader.take(reader.count(1))) : [],
  }));
  if (hasWitness && inputs.every((input) => input.witness.length === 0)) {
    throw new RangeError('transaction has a witness flag but no witness');
  }
  return { version, inputs, outputs, lockTime: reader.uint32() };
}

/** The one transaction in `bytes`. Throws RangeError when it is malformed or bytes are left over. */
export function parseTransaction(bytes: Uint8Array): Transaction {
  const reader = new ByteReader(bytes);
  const transaction = readTransaction(reader);
  if (reader.left !== 0) throw new RangeError(`${reader.left} bytes after the end of the transaction`);
  return transaction;
}

/** Serialisation without witness: what the txid is the hash of. */
export function serializeWithoutWitness(transaction: Transaction): Uint8Array {
  return concatBytes([
    uint32LE(transaction.version),
    ...coreParts(transaction),
    uint32LE(transaction.lockTime),
  ]);
}

/** Serialisation with witness where there is one, else without. */
export function serializeTransaction(transaction: Transaction): Uint8Array {
  if (transaction.inputs.every((input) => input.witness.length === 0))
    return serializeWithoutWitness(transaction);
  const parts = [uint32LE(transaction.version), Uint8Array.of(0, 1), ...coreParts(transaction)];
  for (const input of transaction.inputs) {
    parts.push(encodeVarint(input.witness.length));
    for (const item of input.witness) parts.push(encodeVarint(item.length), item);
  }
  parts.push(uint32LE(transaction.lockTime));
  return concatBytes(parts);
}

/** Txid, 32 bytes as hashed. */
export function txid(transaction: Transaction): Uint8Array {
  return sha256d(serializeWithoutWitness(transaction));
}

/** Wtxid (BIP141), 32 bytes as hashed; equals the txid without witness. A coinbase counts as 32 zero bytes instead. */
export function wtxid(transaction: Transaction): Uint8Array {
  return sha256d(serializeTransaction(transaction));
}

/** All `parts` in one new array. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** `value` (uint32) as 4 bytes, little-endian. */
export function uint32LE(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** An output on the wire: value, script length, script. Throws RangeError on a value outside uint64. */
export function encodeOutput(output: TransactionOutput): Uint8Array {
  if (output.sats < 0n || output.sats >= 1n << 64n)
    throw new RangeError(`output value ${output.sats} is no uint64`);
  const value = new Uint8Array(8);
  new DataView(value.buffer).setBigUint64(0, output.sats, true);
  return concatBytes([value, encodeVarint(output.script.length), output.script]);
}

function coreParts(transaction: Transaction): Uint8Array[] {
  const parts = [encodeVarint(transaction.inputs.length)];
  for (const input of transaction.inputs) {
    parts.push(input.previousTxid, uint32LE(input.previousIndex));
    parts.push(encodeVarint(input.scriptSig.length), input.scriptSig, uint32LE(input.sequence));
  }
  parts.push(encodeVarint(transaction.outputs.length));
  for (const output of transaction.outputs) parts.push(encodeOutput(output));
  return parts;
}

function readMany<T>(reader: ByteReader, bytesEach: number, readOne: () => T): T[] {
  const count = reader.count(bytesEach);
  const all: T[] = [];
  for (let i = 0; i < count; i++) all.push(readOne());
  return all;
}
