// What a signer counts against its daily cap is never less than what can be mined of all that it signed.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { type Spend, SpendRecord, withSpend } from '../../engine/signer/spend-record.js';

const folder = mkdtempSync(join(tmpdir(), 'millrace-spend-record-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const DAY_MS = 86_400_000;
const spend = (txid: string, sats: bigint, inputs: string[], atMs = 0): Spend => ({
  txid,
  sats,
  inputs,
  atMs,
});
const total = (spends: readonly Spend[]) => spends.reduce((sum, { sats }) => sum + sats, 0n);

/** The most that transactions without a common coin can take: every choice is tried. */
function mostThatCanBeMined(spends: readonly Spend[]): bigint {
  let most = 0n;
  for (let choice = 0; choice < 2 ** spends.length; choice++) {
    const chosen = spends.filter((_, i) => choice & (1 << i));
    const coins = chosen.flatMap(({ inputs }) => inputs);
    if (new Set(coins).size === coins.length && total(chosen) > most) most = total(chosen);
  }
  return most;
}

describe('the record of a day', () => {
  it('counts at least what can be mined, whatever shares coins with what', () => {
    const spends = fc.array(
      fc.record({
        sats: fc.bigInt(1n, 100n),
        inputs: fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { minLength: 1 }),
      }),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(spends, (list) => {
        const signed = list.map(({ sats, inputs }, i) => spend(String(i), sats, inputs));
        const counted = total(signed.reduce<Spend[]>(withSpend, []));
        expect(counted >= mostThatCanBeMined(signed)).toBe(true);
        expect(counted <= total(signed)).toBe(true);
      }),
      { seed: 61, numRuns: 3000 },
    );
  });

  it('counts a replacement as the dearer of the two, and the same transaction once', () => {
    const first = spend('1', 100n, ['a', 'b']);
    expect(total([first, first, spend('2', 130n, ['b', 'a', 'c'])].reduce<Spend[]>(withSpend, []))).toBe(
      130n,
    );
    expect(total([first, spend('2', 80n, ['a', 'b'])].reduce<Spend[]>(withSpend, []))).toBe(100n);
    // It leaves a coin out, so both could have been meant to be mined with a third.
    expect(total([first, spend('2', 80n, ['a'])].reduce<Spend[]>(withSpend, []))).toBe(180n);
  });

  it('holds the cap over a restart, forgets after a day, and counts what lies in the future', () => {
    const path = join(folder, 'a.json');
    expect(new SpendRecord(path).add(spend('1', 60n, ['a'], 1000), 100n)).toEqual({
      added: true,
      totalSats: 60n,
    });
    const again = new SpendRecord(path);
    expect(again.add(spend('2', 41n, ['b'], 2000), 100n)).toEqual({ added: false, totalSats: 101n });
    expect(again.add(spend('3', 40n, ['c'], 2000), 100n)).toEqual({ added: true, totalSats: 100n });
    expect(again.spentSats(500)).toBe(100n);
    expect(again.spentSats(1000 + DAY_MS)).toBe(40n);
    expect(new SpendRecord(path).spentSats(2000 + DAY_MS)).toBe(0n);
  });

  it('signs nothing on a damaged file rather than begin at zero', () => {
    const path = join(folder, 'b.json');
    const record = new SpendRecord(path);
    for (const text of [
      '',
      '{"format":1',
      '{"format":2,"spends":[]}',
      '{"format":1,"spends":[{"sats":"1"}]}',
    ]) {
      writeFileSync(path, text);
      expect(() => record.add(spend('1', 1n, ['a']), 100n)).toThrow(/damaged/);
      expect(() => new SpendRecord(path)).toThrow(/damaged/);
    }
  });
});
