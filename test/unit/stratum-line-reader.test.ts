import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineReader } from '../../engine/stratum/line-reader.js';

function readAll(chunks: Buffer[], maxBytes = 64): { lines: string[]; fits: boolean } {
  const reader = new LineReader(maxBytes);
  const lines: string[] = [];
  for (const chunk of chunks) {
    const fits = reader.push(chunk, (line) => {
      lines.push(line.toString('latin1'));
      return true;
    });
    if (!fits) return { lines, fits: false };
  }
  return { lines, fits: true };
}

describe('line reader', () => {
  it('yields the same lines however the bytes are cut into packets', () => {
    const line = fc.stringMatching(/^[a-z{}",:]{0,40}$/);
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), fc.array(fc.nat(60)), (lines, cuts) => {
        const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''));
        const chunks: Buffer[] = [];
        let at = 0;
        for (const cut of cuts) {
          chunks.push(bytes.subarray(at, at + cut));
          at += cut;
        }
        chunks.push(bytes.subarray(at));
        expect(readAll(chunks)).toEqual({ lines, fits: true });
      }),
      { seed: 11, numRuns: 300 },
    );
  });

  it('refuses a line longer than the cap, whether it comes whole or a byte at a time', () => {
    const long = Buffer.from(`${'x'.repeat(65)}\n`);
    expect(readAll([long]).fits).toBe(false);
    expect(readAll([...long].map((byte) => Buffer.from([byte]))).fits).toBe(false);
    expect(readAll([Buffer.from(`${'x'.repeat(64)}\n`)]).fits).toBe(true);
  });

  it('stops when the consumer closed the connection', () => {
    const reader = new LineReader(64);
    const seen: string[] = [];
    reader.push(Buffer.from('a\nb\nc\n'), (line) => {
      seen.push(line.toString());
      return seen.length < 2;
    });
    expect(seen).toEqual(['a', 'b']);
  });
});
