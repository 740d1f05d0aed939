import { describe, expect, it } from 'vitest';
import { OTHER_REASONS, REASONS_MAX, ShareLedger } from '../../loadtest/share-ledger.js';

describe("the miner's ledger", () => {
  it('adds up tiny difficulties behind a large one without losing them', () => {
    const ledger = new ShareLedger();
    ledger.accepted(1_000_000);
    for (let i = 0; i < 100_000; i++) ledger.accepted(1e-10);
    expect(ledger.totals().acceptedDifficulty).toBe(1_000_000.00001);
    expect(ledger.totals().accepted).toBe(100_001);
  });

  it('keeps what was sent equal to what was answered, lost and still due', () => {
    const ledger = new ShareLedger();
    for (let i = 0; i < 10; i++) ledger.submitted();
    for (let i = 0; i < 4; i++) ledger.accepted(2);
    ledger.rejected(21, 'Job not found');
    ledger.rejected(21, 'Job not found');
    ledger.rejected(23, 'Low difficulty share');
    ledger.unanswered();
    expect(ledger.pending).toBe(2);
    expect(ledger.totals()).toEqual({
      submitted: 10,
      accepted: 4,
      acceptedDifficulty: 8,
      rejected: { '21 Job not found': 2, '23 Low difficulty share': 1 },
      unanswered: 1,
    });
  });

  it('counts every rejection but keeps a bounded number of reasons, whatever a pool invents', () => {
    const ledger = new ShareLedger();
    for (let i = 0; i < 1_000; i++) {
      ledger.submitted();
      ledger.rejected(20, `reason ${i}`);
    }
    const { rejected } = ledger.totals();
    expect(Object.keys(rejected)).toHaveLength(REASONS_MAX);
    expect(rejected[OTHER_REASONS]).toBe(1_000 - (REASONS_MAX - 1));
    expect(ledger.pending).toBe(0);
  });

  it('adds the ledgers of many miners', () => {
    const one = new ShareLedger();
    one.submitted();
    one.accepted(0.25);
    const other = new ShareLedger();
    other.submitted();
    other.rejected(22, 'Duplicate share');
    const sum = new ShareLedger();
    sum.add(one.totals());
    sum.add(other.totals());
    sum.add(other.totals());
    expect(sum.totals()).toEqual({
      submitted: 3,
      accepted: 1,
      acceptedDifficulty: 0.25,
      rejected: { '22 Duplicate share': 2 },
      unanswered: 0,
    });
  });
});
