// The log: JSON lines, readable text for people, and no secret in either.
import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { createLogger } from '../../engine/config/log.js';
import { maskUrl, textMasker } from '../../engine/config/mask.js';

function collect(): { output: Writable; text: () => string } {
  let text = '';
  const output = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  return { output, text: () => text };
}

const DATABASE = 'postgres://pool:correct%20horse@db/ledger';

describe('log', () => {
  it('writes one JSON object a line where nobody watches', () => {
    const { output, text } = collect();
    const log = createLogger({ level: 'info', secretUrls: [], output });
    log.info({ height: 7 }, 'block found');
    log.debug('not written');
    const lines = text().trim().split('\n');
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'info', msg: 'block found', height: 7 });
  });

  it('writes text for people: the message, without the fields that are for machines', () => {
    const { output, text } = collect();
    createLogger({ level: 'info', secretUrls: [], output, pretty: true }).warn(
      { port: 3334 },
      'port 3333 is busy',
    );
    expect(text()).toContain('port 3333 is busy');
    expect(text()).not.toContain('3334');
    expect(() => JSON.parse(text())).toThrow();
  });

  it.each([false, true])('shows no secret, whatever carries it (for people: %s)', (pretty) => {
    const { output, text } = collect();
    const log = createLogger({ level: 'info', secretUrls: [DATABASE], output, pretty });
    log.error(new Error(`connect failed: ${DATABASE}`), `cannot reach ${DATABASE}`);
    log.info({ options: { password: 'correct horse' }, other: 'the password is correct horse' }, 'options');
    log.info({ authorization: 'Basic abc' }, 'http://admin:another-one@10.0.0.1:8332/wallet/x answered 401');
    expect(text()).not.toMatch(/correct%20horse|correct horse|another-one|Basic abc/);
    expect(text()).toContain('postgres://pool:***@db/ledger');
    expect(text()).toContain('http://admin:***@10.0.0.1:8332/wallet/x');
  });
});

describe('masking', () => {
  it('keeps the rest of a URL as it was', () => {
    expect(maskUrl('http://127.0.0.1:8332')).toBe('http://127.0.0.1:8332');
    expect(maskUrl('http://u:p@h:1/')).toBe('http://u:***@h:1/');
    expect(maskUrl('http://h:8123/?user=a&password=b')).toBe('http://h:8123/?user=a&password=***');
    expect(maskUrl('not a url')).toBe('***');
  });

  it('leaves short passwords in running text alone: they are part of ordinary words', () => {
    const mask = textMasker(['postgres://postgres:pg@h/d']);
    expect(mask('pg_dump of postgres://postgres:pg@h/d')).toBe('pg_dump of postgres://postgres:***@h/d');
  });
});
