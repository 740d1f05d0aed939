import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { witnessCommitmentScript } from '../../engine/bitcoin/coinbase.js';
import { bytesToHex, displayHash } from '../../engine/bitcoin/hex.js';
import { parseTemplate, TemplateRefused } from '../../engine/work/template.js';
import { projectRoot } from '../../storage/project-root.js';

const captured = readFileSync(join(projectRoot(), 'test/fixtures/regtest-template-161.json'), 'utf8');

interface RawTemplate {
  [field: string]: unknown;
  transactions: Record<string, unknown>[];
}

function raw(): RawTemplate {
  return (JSON.parse(captured) as { template: RawTemplate }).template;
}

function refusal(change: (template: RawTemplate) => void, network?: 'regtest' | 'private'): TemplateRefused {
  const template = raw();
  change(template);
  try {
    parseTemplate(template, network);
  } catch (error) {
    if (error instanceof TemplateRefused) return error;
    throw error;
  }
  throw new Error('the template was taken');
}

describe('a template of a real node', () => {
  const template = parseTemplate(raw(), 'regtest');

  it('is read whole', () => {
    expect(template.height).toBe(161);
    expect(template.version).toBe(0x30000000);
    expect(template.bits).toBe(0x207fffff);
    expect(template.target).toBe(0x7fffffn << 232n);
    expect(displayHash(template.previousBlock)).toBe(template.previousBlockHash);
    expect(template.previousBlockHash).toBe(raw().previousblockhash);
    expect(template.longpollId).toBe(raw().longpollid);
    expect(template.rules).toEqual(['csv', '!segwit', 'taproot']);
    expect(template.mintime).toBeLessThanOrEqual(template.curtime);
  });

  it('adds up its fees and weights', () => {
    expect(template.fees).toBe(1104n);
    expect(template.coinbaseValue).toBe(2_500_001_104n);
    expect(template.transactionsWeight).toBe(
      raw().transactions.reduce((sum, t) => sum + Number(t.weight), 0),
    );
  });

  it('carries the commitment that its wtxids give', () => {
    const ours = witnessCommitmentScript(template.transactions.map((transaction) => transaction.hash));
    expect(bytesToHex(template.witnessCommitment ?? ours.subarray(1))).toBe(bytesToHex(ours));
  });

  it('is read the same where a JSON reader gave amounts as text', () => {
    const asText = raw();
    asText.coinbasevalue = String(asText.coinbasevalue);
    for (const transaction of asText.transactions) transaction.fee = String(transaction.fee);
    expect(parseTemplate(asText)).toEqual(template);
  });
});

describe('a rule', () => {
  it.each(['!blake2b', '!reduced_data', '!Segwit', '!'])(
    '%s is refused: the pool does not know it',
    (rule) => {
      const refused = refusal((t) => Object.assign(t, { rules: ['csv', '!segwit', rule] }));
      expect(refused.field).toBe('rules');
      expect(refused.message).toContain(`"${rule}"`);
    },
  );

  it('that is new but harmless to who does not know it (BIP9) is taken', () => {
    expect(parseTemplate({ ...raw(), rules: ['csv', '!segwit', 'taproot', 'newfork'] }).rules).toContain(
      'newfork',
    );
  });

  it('!signet is taken where anyone may mine: challenge 51', () => {
    const signet = { ...raw(), rules: ['csv', '!segwit', '!signet'], signet_challenge: '51' };
    expect(parseTemplate(signet, 'private').signetChallenge).toBe('51');
    expect(() => parseTemplate(signet, 'regtest')).toThrow(/runs on regtest/);
  });

  it.each([
    undefined,
    '512103ad5e0edad18cb1f0fc0d28a3d4f1f3e445640337489abb10404f2d1e086be430210359ef5021964fe22d6f8e05b2463c9540ce96883fe3b278760f048f5189f2e6c452ae',
  ])('!signet with challenge %s is refused: blocks would need a signature', (challenge) => {
    const refused = refusal(
      (t) => Object.assign(t, { rules: ['!signet'], signet_challenge: challenge }),
      'private',
    );
    expect(refused.field).toBe('signet_challenge');
  });
});

describe('a template is refused by the name of its field when', () => {
  it.each([
    'height',
    'version',
    'previousblockhash',
    'transactions',
    'bits',
    'curtime',
    'mintime',
    'coinbasevalue',
  ])('%s is missing', (field) => {
    expect(refusal((t) => delete t[field])).toMatchObject({
      field,
      message: expect.stringContaining('is missing'),
    });
  });

  it.each(['data', 'txid', 'hash', 'fee', 'weight'])('a transaction has no %s', (field) => {
    const refused = refusal((t) => delete t.transactions[2]?.[field]);
    expect(refused).toMatchObject({ field: `transactions[2].${field}` });
  });

  it.each<[string, unknown]>([
    ['height', 0],
    ['height', '161'],
    ['height', 161.5],
    ['version', 2 ** 32],
    ['version', null],
    ['previousblockhash', 'ab'],
    ['previousblockhash', 'zz'.repeat(32)],
    ['previousblockhash', 7],
    ['bits', '1d00fff'],
    ['bits', '0x207fff'],
    ['bits', 0x207fffff],
    ['bits', '01003456'],
    ['bits', '04923456'],
    ['bits', 'ff123456'],
    ['target', '00'.repeat(32)],
    ['target', 'ff'],
    ['curtime', -1],
    ['curtime', Number.NaN],
    ['mintime', 2 ** 32 - 1],
    ['coinbasevalue', -1],
    ['coinbasevalue', 1103],
    ['coinbasevalue', 0.5],
    ['coinbasevalue', '5e9'],
    ['coinbasevalue', '2100000000000001'],
    ['transactions', {}],
    ['transactions', 'x'],
    ['rules', 'segwit'],
    ['rules', [7]],
    ['longpollid', 5],
    ['vbrequired', 4],
    ['weightlimit', 0],
    ['default_witness_commitment', 'zz'],
    ['default_witness_commitment', '6a24aa21a9ed'],
  ])('%s is %j', (field, value) => {
    expect(refusal((t) => Object.assign(t, { [field]: value })).field.startsWith(field)).toBe(true);
  });

  it.each<[string, unknown]>([
    ['data', ''],
    ['data', 'abc'],
    ['data', '0x00'],
    ['txid', '00'],
    ['fee', -1],
    ['fee', '1.5'],
    ['weight', 0],
  ])('a transaction has %s %j', (field, value) => {
    const refused = refusal((t) => Object.assign(t.transactions[0] ?? {}, { [field]: value }));
    expect(refused.field).toBe(`transactions[0].${field}`);
  });

  it('the commitment is missing though a transaction has a witness', () => {
    expect(refusal((t) => delete t.default_witness_commitment).field).toBe('default_witness_commitment');
    const bare = { ...raw(), transactions: [], default_witness_commitment: undefined };
    expect(parseTemplate(bare).witnessCommitment).toBeUndefined();
  });

  it.each([null, undefined, 7, 'template', []])('it is %j', (json) => {
    expect(() => parseTemplate(json)).toThrow(TemplateRefused);
  });
});

describe('version', () => {
  it('of the node is signed: taken modulo 2^32', () => {
    expect(parseTemplate({ ...raw(), version: -0x80000000 }).version).toBe(0x80000000);
    expect(parseTemplate({ ...raw(), version: 0x20000000 }).version).toBe(0x20000000);
  });
});
