import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hexInto, hexWord, PARAM, SubmitParts, scanSubmit } from '../../engine/stratum/v1/submit-scanner.js';

interface Scanned {
  id: string;
  params: string[];
}

function scan(text: string): Scanned | null {
  const line = Buffer.from(text, 'latin1');
  const parts = new SubmitParts();
  if (!scanSubmit(line, parts)) return null;
  const params = Array.from({ length: parts.count }, (_, i) =>
    line.toString('latin1', parts.starts[i], parts.ends[i]),
  );
  return { id: line.toString('latin1', parts.idStart, parts.idEnd), params };
}

const PARAMS = ['addr.rig', 'a1', '0011223344556677', '6553f100', 'deadbeef'];
const line = (params: unknown[], id: unknown = 4) => JSON.stringify({ id, method: 'mining.submit', params });

describe('submit scanner', () => {
  it('reads the spellings that miners use, with keys in any order and with spaces', () => {
    const wanted = { id: '4', params: PARAMS };
    const list = JSON.stringify(PARAMS);
    expect(scan(line(PARAMS))).toEqual(wanted);
    expect(scan(`{"params": ${list.replaceAll(',', ', ')}, "id": 4, "method": "mining.submit"}`)).toEqual(
      wanted,
    );
    expect(scan(`{"method": "mining.submit", "params": ${list}, "id":4}\r`)).toEqual(wanted);
    expect(scan(line([...PARAMS, '00002000']))?.params[PARAM.versionBits]).toBe('00002000');
  });

  it.each([
    ['another method', '{"id":4,"method":"mining.notify","params":["a","b","c","d","e"]}'],
    ['a longer method', '{"id":4,"method":"mining.submit2","params":["a","b","c","d","e"]}'],
    ['four parameters', line(PARAMS.slice(0, 4))],
    ['seven parameters', line([...PARAMS, '1', '2'])],
    ['a parameter that is no string', line([...PARAMS.slice(0, 4), 5])],
    ['an escape', '{"id":4,"method":"mining.submit","params":["a\\u0041","b","c","d","e"]}'],
    ['a string id', line(PARAMS, 'x')],
    ['a null id', line(PARAMS, null)],
    ['a fraction for the id', line(PARAMS, 1.5)],
    ['a negative id', line(PARAMS, -1)],
    ['an id with a leading zero', '{"id":04,"method":"mining.submit","params":["a","b","c","d","e"]}'],
    ['an id twice', '{"id":4,"id":5,"method":"mining.submit","params":["a","b","c","d","e"]}'],
    ['no id', '{"method":"mining.submit","params":["a","b","c","d","e"]}'],
    ['another key', '{"id":4,"jsonrpc":"2.0","method":"mining.submit","params":["a","b","c","d","e"]}'],
    ['something behind it', `${line(PARAMS)}{}`],
    ['a trailing comma', '{"id":4,"method":"mining.submit","params":["a","b","c","d","e"],}'],
    ['bytes that are no ASCII', '{"id":4,"method":"mining.submit","params":["\u00e4","b","c","d","e"]}'],
    ['a cut line', line(PARAMS).slice(0, -3)],
    ['nothing', ''],
  ])('leaves %s to the complete path', (_what, text) => {
    expect(scan(text)).toBeNull();
  });

  it('never takes what JSON.parse would read differently', () => {
    const list = JSON.stringify(PARAMS);
    const good = fc.constantFrom(
      line(PARAMS),
      line([...PARAMS, '00002000'], 12),
      `{"params": ${list}, "id": 4, "method": "mining.submit"}`,
      `{"method":"mining.submit","id":77,"params":["a","b","c","d",""]}\r`,
    );
    const text = fc.constantFrom(
      ...[
        '{',
        '}',
        '[',
        ']',
        '"',
        ',',
        ':',
        ' ',
        '\r',
        '\n',
        '\t',
        '\\',
        '0',
        '4',
        '-',
        '.',
        'e',
        'n',
        '\u0000',
        '\u00ff',
      ],
      ...['"id":4,', '"id"', '"method"', '"params"', '"a",', 'null', 'true', '\\u0041', '.0', ''],
    );
    const edit = fc.record({ at: fc.nat(120), cut: fc.nat(3), text });
    let taken = 0;
    fc.assert(
      fc.property(good, fc.array(edit, { maxLength: 3 }), (start, edits) => {
        const edited = edits.reduce(
          (was, { at, cut, text: put }) => was.slice(0, at) + put + was.slice(at + cut),
          start,
        );
        const scanned = scan(edited);
        if (scanned === null) return;
        taken++;
        const parsed = JSON.parse(edited) as { id: number; method: string; params: string[] };
        expect(Object.keys(parsed).sort()).toEqual(['id', 'method', 'params']);
        expect(parsed.method).toBe('mining.submit');
        expect(String(parsed.id)).toBe(scanned.id);
        expect(parsed.params).toEqual(scanned.params);
      }),
      { seed: 17, numRuns: 40_000 },
    );
    expect(taken).toBeGreaterThan(5000);
  });

  it('takes every well-formed submit with printable parameters', () => {
    const text = fc.stringMatching(/^[ !#-[\]-~]{0,40}$/);
    fc.assert(
      fc.property(fc.array(text, { minLength: 5, maxLength: 6 }), fc.nat(), (params, id) => {
        expect(scan(line(params, id))).toEqual({ id: String(id), params });
      }),
      { seed: 18, numRuns: 500 },
    );
  });
});

describe('hex fields', () => {
  it('are read as parseInt and Buffer read them, in either case', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9a-fA-F]{8}$/), (text) => {
        expect(hexWord(Buffer.from(`xx${text}`), 2)).toBe(Number.parseInt(text, 16));
        const bytes = new Uint8Array(4);
        expect(hexInto(Buffer.from(text), 0, 4, bytes)).toBe(true);
        expect(Buffer.from(bytes)).toEqual(Buffer.from(text, 'hex'));
      }),
      { seed: 19 },
    );
  });

  it('are refused when any of their bytes is no hex digit', () => {
    fc.assert(
      fc.property(fc.nat(7), fc.integer({ min: 0, max: 255 }), (at, byte) => {
        const text = Buffer.from('0123abcd');
        text[at] = byte;
        const isHex = /^[0-9a-fA-F]$/.test(String.fromCharCode(byte));
        expect(hexWord(text, 0) >= 0).toBe(isHex);
        expect(hexInto(text, 0, 4, new Uint8Array(4))).toBe(isHex);
      }),
      { seed: 20, numRuns: 500 },
    );
    expect(hexWord(Buffer.from('0123'), 0)).toBe(-1);
  });
});
