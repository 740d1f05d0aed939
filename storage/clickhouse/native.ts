// A journal batch as ClickHouse Native blocks, ready to be the body of INSERT INTO submits ... FORMAT
// Native. Called by the shipper. Column-major: each column is one loop over the binary records, no object
// and no string per row; names of miners and jobs go as LowCardinality dictionaries with an index per row.
// Format: https://clickhouse.com/docs/interfaces/formats/Native and, for LowCardinality,
// SerializationLowCardinality.cpp of ClickHouse.
//
//   block   varuint columns, varuint rows, then per column: name, type (varuint length + bytes), data
//   String  varuint length + bytes, per row
//   Nullable(T)
//           u8 per row (1: NULL), then T per row, anything where it is NULL
//   LowCardinality(String)
//           u64 1 (version), u64 flags | index width, u64 keys, the keys as String, u64 rows, u32 per row
//
// Typed arrays write in the machine's byte order; Node runs on little-endian machines, as the format wants.
import { targetFromBytesLE, workFromTarget } from '../../engine/bitcoin/target.js';
import { VERDICTS } from '../../engine/work/verdict.js';
import type { JournalBatch } from '../journal/batch.js';
import {
  type JournalIdentity,
  type JournalJob,
  SHARE,
  SHARE_FLAG_BLOCK,
  SHARE_RECORD_BYTES,
} from '../journal/record.js';
import { ipv6Bytes } from './ipv6.js';

/** Rows of one block: bounds memory. Part of the deduplication contract: a repeated insert cuts the same. */
export const ROWS_PER_BLOCK = 65_536;

const LOW_CARDINALITY_VERSION = 1n;
/** The dictionary comes with the block and replaces any before it; indexes of 4 bytes. */
const LOW_CARDINALITY_FLAGS = 0x602n;
const HASH_BYTES = 32;
const UINT32_MAX = 0xffff_ffff;
/** 0xffff * 2^208, the target of difficulty 1, as a double. */
const DIFFICULTY_1_TARGET = 0xffff * 2 ** 208;
const VERDICT_ENUM = `Enum8(${VERDICTS.map(({ name, code }) => `'${name}' = ${code}`).join(', ')})`;

/** Distinct values that the rows of a block refer to, and which one each row means. */
interface Directory<Value> {
  values: Value[];
  index: Uint32Array;
}

/** The records of one block and what they refer to. */
interface Block {
  nodeId: number;
  records: Buffer;
  /** Byte offset of the first record. */
  start: number;
  rows: number;
  identities: Directory<JournalIdentity>;
  jobs: Directory<JournalJob>;
  /** Each 32 bytes little-endian; all zero: the submit was refused before a target was known. */
  targets: Directory<Buffer>;
}

interface Column {
  name: string;
  type: string;
  /** The column's data, in pieces. */
  encode: (block: Block) => Buffer[];
}

const LOW_CARDINALITY = 'LowCardinality(String)';

const COLUMNS: readonly Column[] = [
  { name: 'ts', type: "DateTime64(3, 'UTC')", encode: receivedMs },
  {
    name: 'node',
    type: 'UInt16',
    encode: (block) => [bytesOf(new Uint16Array(block.rows).fill(block.nodeId))],
  },
  { name: 'seq', type: 'UInt64', encode: (block) => eightBytes(block, SHARE.seq) },
  { name: 'account', type: LOW_CARDINALITY, encode: ({ identities }) => named(identities, (i) => i.account) },
  { name: 'worker', type: LOW_CARDINALITY, encode: ({ identities }) => named(identities, (i) => i.worker) },
  {
    name: 'scheme',
    type: LOW_CARDINALITY,
    encode: ({ identities }) => named(identities, (i) => i.scheme ?? ''),
  },
  { name: 'session', type: 'UInt32', encode: (block) => fourBytes(block, SHARE.session) },
  { name: 'remote', type: 'IPv6', encode: remoteAddress },
  { name: 'agent', type: LOW_CARDINALITY, encode: ({ identities }) => named(identities, (i) => i.agent) },
  {
    name: 'transport',
    type: LOW_CARDINALITY,
    encode: ({ identities }) => named(identities, (i) => i.transport ?? ''),
  },
  {
    name: 'protocol',
    type: LOW_CARDINALITY,
    encode: ({ identities }) => named(identities, (i) => i.protocol ?? ''),
  },
  { name: 'job', type: LOW_CARDINALITY, encode: ({ jobs }) => named(jobs, (j) => j.jobId) },
  {
    name: 'height',
    type: 'UInt32',
    encode: ({ jobs }) => [bytesOf(spread(jobs, Uint32Array, (j) => j.height))],
  },
  {
    name: 'previous_block',
    type: LOW_CARDINALITY,
    encode: ({ jobs }) => named(jobs, (j) => j.previousBlock),
  },
  { name: 'verdict', type: VERDICT_ENUM, encode: verdicts },
  { name: 'difficulty', type: 'Float64', encode: (block) => eightBytes(block, SHARE.difficulty) },
  { name: 'work', type: 'UInt128', encode: work },
  { name: 'achieved_difficulty', type: 'Float64', encode: achievedDifficulty },
  { name: 'target', type: LOW_CARDINALITY, encode: ({ targets }) => named(targets, targetHex) },
  {
    name: 'extranonce1',
    type: 'String',
    encode: (block) =>
      extranonce(block, (records, at) => [0, records[at + SHARE.extranonce1Bytes] as number]),
  },
  {
    name: 'extranonce2',
    type: 'String',
    encode: (block) =>
      extranonce(block, (records, at) => [
        records[at + SHARE.extranonce1Bytes] as number,
        records[at + SHARE.extranonce2Bytes] as number,
      ]),
  },
  { name: 'ntime', type: "DateTime('UTC')", encode: (block) => fourBytes(block, SHARE.ntime) },
  { name: 'version', type: 'UInt32', encode: (block) => fourBytes(block, SHARE.version) },
  { name: 'nonce', type: 'UInt32', encode: (block) => fourBytes(block, SHARE.nonce) },
  { name: 'hash', type: 'String', encode: hashes },
  { name: 'latency_us', type: 'UInt32', encode: (block) => fourBytes(block, SHARE.latencyUs) },
  { name: 'job_age_ms', type: 'Nullable(UInt32)', encode: jobAge },
  {
    name: 'network_difficulty',
    type: 'Float64',
    encode: ({ jobs }) => [bytesOf(spread(jobs, Float64Array, (j) => j.networkDifficulty))],
  },
  { name: 'round', type: 'UInt32', encode: (block) => fourBytes(block, SHARE.round) },
  { name: 'is_block', type: 'Bool', encode: isBlock },
];

/** Columns of `submits` that the blocks carry, in their order. */
export const SUBMIT_COLUMNS: readonly string[] = COLUMNS.map(({ name }) => name);

const NO_IDENTITY: JournalIdentity = { account: '', worker: '', agent: '', remote: '' };
const NO_JOB: JournalJob = {
  jobId: '',
  height: 0,
  previousBlock: '',
  version: 0,
  bits: 0,
  time: 0,
  coinbase1: '',
  coinbase2: '',
  branch: [],
  networkDifficulty: 0,
};

/**
 * The blocks of a batch, in pieces to be sent one after the other; each block is built when it is asked
 * for. The same batch always gives the same bytes.
 */
export function* nativeBlocks(batch: JournalBatch): Generator<Buffer> {
  for (let first = 0; first < batch.shares; first += ROWS_PER_BLOCK) {
    const start = first * SHARE_RECORD_BYTES;
    const rows = Math.min(ROWS_PER_BLOCK, batch.shares - first);
    const identities = directory(batch.records, start, rows, SHARE.identity, batch.identities, NO_IDENTITY);
    const block: Block = {
      nodeId: batch.nodeId,
      records: batch.records,
      start,
      rows,
      identities,
      jobs: directory(batch.records, start, rows, SHARE.job, batch.jobs, NO_JOB),
      targets: targetDirectory(batch.records, start, rows, identities),
    };
    yield Buffer.concat([varuint(COLUMNS.length), varuint(rows)]);
    for (const column of COLUMNS) {
      yield Buffer.concat([text(column.name), text(column.type)]);
      yield* column.encode(block);
    }
  }
}

function directory<Value>(
  records: Buffer,
  start: number,
  rows: number,
  field: number,
  known: ReadonlyMap<number, Value>,
  none: Value,
): Directory<Value> {
  const index = new Uint32Array(rows);
  const values: Value[] = [none];
  const places = new Map<number, number>();
  for (let row = 0, at = start + field; row < rows; row++, at += SHARE_RECORD_BYTES) {
    const id = records.readUInt32LE(at);
    let place = places.get(id);
    if (place === undefined) {
      const value = known.get(id);
      place = value === undefined ? 0 : values.push(value) - 1;
      places.set(id, place);
    }
    index[row] = place;
  }
  return { values, index };
}

function targetDirectory(
  records: Buffer,
  start: number,
  rows: number,
  identities: Directory<JournalIdentity>,
): Directory<Buffer> {
  const index = new Uint32Array(rows);
  const values: Buffer[] = [];
  const places = new Map<string, number>();
  // A miner's target mostly stays; only a change costs a lookup by text.
  const lastAt = new Float64Array(identities.values.length).fill(-1);
  const lastPlace = new Uint32Array(identities.values.length);
  for (let row = 0, at = start + SHARE.target; row < rows; row++, at += SHARE_RECORD_BYTES) {
    const identity = identities.index[row] as number;
    const previous = lastAt[identity] as number;
    let place = lastPlace[identity] as number;
    if (previous < 0 || !sameHash(records, at, previous)) {
      const bytes = records.subarray(at, at + HASH_BYTES);
      const key = bytes.toString('latin1');
      place = places.get(key) ?? values.push(bytes) - 1;
      places.set(key, place);
      lastPlace[identity] = place;
    }
    lastAt[identity] = at;
    index[row] = place;
  }
  return { values, index };
}

function sameHash(records: Buffer, a: number, b: number): boolean {
  for (let word = HASH_BYTES - 4; word >= 0; word -= 4) {
    if (records.readUInt32LE(a + word) !== records.readUInt32LE(b + word)) return false;
  }
  return true;
}

function fourBytes({ records, start, rows }: Block, field: number): Buffer[] {
  const out = Buffer.allocUnsafe(rows * 4);
  for (let row = 0, at = start + field; row < rows; row++, at += SHARE_RECORD_BYTES) {
    out.writeUInt32LE(records.readUInt32LE(at), row * 4);
  }
  return [out];
}

function eightBytes({ records, start, rows }: Block, field: number): Buffer[] {
  const out = Buffer.allocUnsafe(rows * 8);
  for (let row = 0, at = start + field; row < rows; row++, at += SHARE_RECORD_BYTES) {
    out.writeUInt32LE(records.readUInt32LE(at), row * 8);
    out.writeUInt32LE(records.readUInt32LE(at + 4), row * 8 + 4);
  }
  return [out];
}

function receivedMs({ records, start, rows }: Block): Buffer[] {
  const out = Buffer.allocUnsafe(rows * 8);
  for (let row = 0, at = start; row < rows; row++, at += SHARE_RECORD_BYTES) {
    const ms = msOf(records, at);
    out.writeUInt32LE(ms % 0x1_0000_0000, row * 8);
    out.writeUInt32LE(Math.floor(ms / 0x1_0000_0000), row * 8 + 4);
  }
  return [out];
}

/** Wall clock of the receipt of the record at `at`. Without a BigInt: this runs per share. */
function msOf(records: Buffer, at: number): number {
  const low = records.readUInt32LE(at + SHARE.receivedUs);
  return Math.floor((low + records.readUInt32LE(at + SHARE.receivedUs + 4) * 0x1_0000_0000) / 1000);
}

/** A clock that was set back meanwhile makes the age 0. */
function jobAge({ records, start, rows, jobs }: Block): Buffer[] {
  const born = Float64Array.from(jobs.values, ({ bornMs }) => bornMs ?? Number.NaN);
  const unknown = Buffer.alloc(rows);
  const out = new Uint32Array(rows);
  for (let row = 0, at = start; row < rows; row++, at += SHARE_RECORD_BYTES) {
    const age = msOf(records, at) - (born[jobs.index[row] as number] as number);
    if (Number.isNaN(age)) unknown[row] = 1;
    else out[row] = Math.min(UINT32_MAX, Math.max(0, age));
  }
  return [unknown, bytesOf(out)];
}

function verdicts({ records, start, rows }: Block): Buffer[] {
  const out = Buffer.allocUnsafe(rows);
  for (let row = 0, at = start + SHARE.verdict; row < rows; row++, at += SHARE_RECORD_BYTES) {
    out[row] = records[at] as number;
  }
  return [out];
}

function isBlock({ records, start, rows }: Block): Buffer[] {
  const out = Buffer.allocUnsafe(rows);
  for (let row = 0, at = start + SHARE.flags; row < rows; row++, at += SHARE_RECORD_BYTES) {
    out[row] = (records[at] as number) & SHARE_FLAG_BLOCK;
  }
  return [out];
}

/** Identities live as long as their segment is read: each address is taken apart once, not once a block. */
const ADDRESSES = new WeakMap<JournalIdentity, Buffer>();

function addressOf(identity: JournalIdentity): Buffer {
  let address = ADDRESSES.get(identity);
  if (address === undefined) {
    address = ipv6Bytes(identity.remote);
    ADDRESSES.set(identity, address);
  }
  return address;
}

function remoteAddress({ identities }: Block): Buffer[] {
  const addresses = identities.values.map(addressOf);
  const out = Buffer.allocUnsafe(identities.index.length * 16);
  for (let row = 0; row < identities.index.length; row++) {
    const address = addresses[identities.index[row] as number] as Buffer;
    for (let byte = 0; byte < 16; byte++) out[row * 16 + byte] = address[byte] as number;
  }
  return [out];
}

function work({ targets }: Block): Buffer[] {
  const halves = targets.values.flatMap((target) => {
    const exact = isZero(target) ? 0n : workFromTarget(targetFromBytesLE(target));
    return [BigInt.asUintN(64, exact), BigInt.asUintN(64, exact >> 64n)];
  });
  const known = BigUint64Array.from(halves);
  const out = new BigUint64Array(targets.index.length * 2);
  for (let row = 0; row < targets.index.length; row++) {
    const place = (targets.index[row] as number) * 2;
    out[row * 2] = known[place] as bigint;
    out[row * 2 + 1] = known[place + 1] as bigint;
  }
  return [bytesOf(out)];
}

function achievedDifficulty({ records, start, rows }: Block): Buffer[] {
  const out = new Float64Array(rows);
  for (let row = 0, at = start + SHARE.hash; row < rows; row++, at += SHARE_RECORD_BYTES) {
    let value = 0;
    for (let word = 7; word >= 0; word--) value = value * 0x1_0000_0000 + records.readUInt32LE(at + word * 4);
    if (value > 0) out[row] = DIFFICULTY_1_TARGET / value;
  }
  return [bytesOf(out)];
}

const HEX = Buffer.from('0123456789abcdef');

function hashes({ records, start, rows }: Block): Buffer[] {
  const out = Buffer.allocUnsafe(rows * (1 + 2 * HASH_BYTES));
  let to = 0;
  for (let row = 0, at = start + SHARE.hash; row < rows; row++, at += SHARE_RECORD_BYTES) {
    if (neverHashed(records, at)) {
      out[to++] = 0;
      continue;
    }
    out[to++] = 2 * HASH_BYTES;
    for (let byte = at + HASH_BYTES - 1; byte >= at; byte--) {
      const value = records[byte] as number;
      out[to++] = HEX[value >> 4] as number;
      out[to++] = HEX[value & 15] as number;
    }
  }
  return [out.subarray(0, to)];
}

function neverHashed(records: Buffer, at: number): boolean {
  // A real hash has its low bytes set; only a record that was never hashed is zero there.
  for (let byte = at; byte < at + HASH_BYTES; byte++) if (records[byte] !== 0) return false;
  return true;
}

/** `where` gives offset and length of the wanted part within the extranonce of a record. */
function extranonce(
  { records, start, rows }: Block,
  where: (records: Buffer, at: number) => [number, number],
): Buffer[] {
  const out = Buffer.allocUnsafe(rows * (1 + 2 * HASH_BYTES));
  let to = 0;
  for (let row = 0, at = start; row < rows; row++, at += SHARE_RECORD_BYTES) {
    const [offset, length] = where(records, at);
    out[to++] = length * 2;
    for (let byte = 0; byte < length; byte++) {
      const value = records[at + SHARE.extranonce + offset + byte] as number;
      out[to++] = HEX[value >> 4] as number;
      out[to++] = HEX[value & 15] as number;
    }
  }
  return [out.subarray(0, to)];
}

function named<Value>({ values, index }: Directory<Value>, name: (value: Value) => string): Buffer[] {
  const names = values.map(name);
  // As long as it can get: a UTF-16 unit takes 3 bytes at most, a length 5.
  const out = Buffer.allocUnsafe(names.reduce((sum, { length }) => sum + 5 + 3 * length, 32));
  out.writeBigUInt64LE(LOW_CARDINALITY_VERSION, 0);
  out.writeBigUInt64LE(LOW_CARDINALITY_FLAGS, 8);
  out.writeBigUInt64LE(BigInt(values.length), 16);
  let at = 24;
  for (const key of names) {
    at = putVaruint(out, Buffer.byteLength(key), at);
    at += out.write(key, at);
  }
  at = out.writeBigUInt64LE(BigInt(index.length), at);
  return [out.subarray(0, at), bytesOf(index)];
}

function spread<Value, Out extends Uint32Array | Float64Array>(
  { values, index }: Directory<Value>,
  ArrayType: new (length: number) => Out,
  field: (value: Value) => number,
): Out {
  const known = values.map(field);
  const out = new ArrayType(index.length);
  for (let row = 0; row < index.length; row++) out[row] = known[index[row] as number] as number;
  return out;
}

function targetHex(target: Buffer): string {
  return isZero(target) ? '' : Buffer.from(target).reverse().toString('hex');
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}

function bytesOf(array: Uint16Array | Uint32Array | Float64Array | BigUint64Array): Buffer {
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([varuint(bytes.length), bytes]);
}

/** LEB128, unsigned. */
function varuint(value: number): Buffer {
  const out = Buffer.alloc(5);
  return out.subarray(0, putVaruint(out, value, 0));
}

/** Returns where the next byte goes. */
function putVaruint(out: Buffer, value: number, at: number): number {
  let rest = value;
  let to = at;
  while (rest >= 0x80) {
    out[to++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[to++] = rest;
  return to;
}
