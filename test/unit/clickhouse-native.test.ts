import { describe, expect, it } from 'vitest';
import { ipv6Bytes } from '../../storage/clickhouse/ipv6.js';
import { nativeBlocks, ROWS_PER_BLOCK, SUBMIT_COLUMNS } from '../../storage/clickhouse/native.js';
import { testBatch } from '../fixtures/journal-batch.js';

describe('IP addresses for an IPv6 column', () => {
  const cases: [string, string][] = [
    ['192.0.2.7', '00000000000000000000ffffc0000207'],
    ['::ffff:192.0.2.7', '00000000000000000000ffffc0000207'],
    ['2001:db8::1', '20010db8000000000000000000000001'],
    ['2001:db8:0:0:1:2:3:4', '20010db8000000000001000200030004'],
    ['fe80::1%eth0', 'fe800000000000000000000000000001'],
    ['::', '00000000000000000000000000000000'],
    ['2001:db8::', '20010db8000000000000000000000000'],
    ['not an address', '00000000000000000000000000000000'],
    ['', '00000000000000000000000000000000'],
  ];
  it.each(cases)('turns %j into %s', (text, hex) => {
    expect(ipv6Bytes(text).toString('hex')).toBe(hex);
  });
});

describe('Native blocks of a journal batch', () => {
  const shares = (count: number) => Array.from({ length: count }, (_, i) => ({ who: `account${i % 5}.w` }));

  it('are the same bytes whenever they are made: a repeated insert is recognised', () => {
    const batch = testBatch(1, shares(50));
    const once = Buffer.concat([...nativeBlocks(batch)]);
    expect(Buffer.concat([...nativeBlocks(batch)]).equals(once)).toBe(true);
  });

  it('do not depend on where the records lie in memory', () => {
    const batch = testBatch(1, shares(50));
    const shifted = Buffer.concat([Buffer.alloc(3), batch.records]).subarray(3);
    const moved = Buffer.concat([...nativeBlocks({ ...batch, records: shifted })]);
    expect(moved.equals(Buffer.concat([...nativeBlocks(batch)]))).toBe(true);
  });

  it('start with the number of columns and rows', () => {
    const [head] = [...nativeBlocks(testBatch(1, shares(300)))];
    // 300 as a variable-length integer: 0xac 0x02.
    expect(head).toEqual(Buffer.from([SUBMIT_COLUMNS.length, 0xac, 0x02]));
  });

  it('are cut at a fixed number of rows, whatever the size of the batch', () => {
    const heads = [...nativeBlocks(testBatch(1, shares(ROWS_PER_BLOCK + 1)))].filter(
      (piece) => piece[0] === SUBMIT_COLUMNS.length && piece.length <= 4,
    );
    expect(heads.at(0)).toEqual(Buffer.from([SUBMIT_COLUMNS.length, 0x80, 0x80, 0x04]));
    expect(heads.at(-1)).toEqual(Buffer.from([SUBMIT_COLUMNS.length, 1]));
  });
});
