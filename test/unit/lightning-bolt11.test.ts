import { createHash, getRandomValues } from 'node:crypto';
import { bech32 } from '@scure/base';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeInvoice, InvoiceError } from '../../engine/payouts/lightning/bolt11.js';
import { BOLT11_HASH, BOLT11_PAYEE, INVALID, VALID } from '../fixtures/lightning-bolt11-vectors.js';
import { type InvoiceToWrite, payeeOf, writeInvoice } from '../fixtures/lightning-invoice-encoder.js';

const KEY = new Uint8Array(32).fill(7);
const BASE: InvoiceToWrite = {
  prefix: 'bcrt',
  amountMsat: 1000n,
  createdAtS: 1_700_000_000,
  paymentHash: '22'.repeat(32),
  description: 'x',
  key: KEY,
};

describe('the examples of BOLT 11', () => {
  for (const vector of VALID) {
    it(`reads ${vector.name}`, () => {
      const invoice = decodeInvoice(vector.invoice);
      expect(invoice).toMatchObject({
        prefix: vector.prefix,
        amountMsat: vector.amountMsat,
        createdAtS: vector.createdAtS,
        expiresAtS: vector.createdAtS + vector.expiryS,
        paymentHash: vector.paymentHash ?? BOLT11_HASH,
        paymentSecret: vector.paymentSecret ?? null,
        description: vector.description ?? null,
        descriptionHash:
          vector.hashedDescription === undefined
            ? null
            : createHash('sha256').update(vector.hashedDescription).digest('hex'),
        minFinalCltvExpiry: vector.minFinalCltvExpiry ?? 18,
        features: vector.features ?? [],
      });
      if (!vector.otherPayee) expect(invoice.payee).toBe(BOLT11_PAYEE);
    });
  }
  for (const { name, invoice, says } of INVALID) {
    it(`refuses ${name}`, () => {
      expect(() => decodeInvoice(invoice)).toThrow(InvoiceError);
      expect(() => decodeInvoice(invoice)).toThrow(says);
    });
  }
});

describe('invoices of an encoder of our own', () => {
  const hex32 = fc
    .uint8Array({ minLength: 32, maxLength: 32 })
    .map((bytes) => Buffer.from(bytes).toString('hex'));
  const anyInvoice = fc.record({
    prefix: fc.constantFrom('bc', 'tb', 'tbs', 'bcrt'),
    amountMsat: fc.oneof(fc.constant(null), fc.bigInt(1n, 2_100_000_000_000_000_000n)),
    createdAtS: fc.integer({ min: 1, max: 2 ** 34 }),
    paymentHash: hex32,
    paymentSecret: fc.option(hex32, { nil: undefined }),
    description: fc.option(fc.string({ unit: 'grapheme', maxLength: 60 }), { nil: undefined }),
    descriptionHash: fc.option(hex32, { nil: undefined }),
    expiryS: fc.option(fc.integer({ min: 0, max: 2 ** 31 - 1 }), { nil: undefined }),
    minFinalCltvExpiry: fc.option(fc.integer({ min: 0, max: 100_000 }), { nil: undefined }),
    features: fc.constantFrom([], [8, 14], [9, 15, 17], [8, 14, 16, 48], [9, 101], [25]),
    namePayee: fc.boolean(),
    key: fc
      .uint8Array({ minLength: 32, maxLength: 32 })
      .filter((bytes) => bytes.some((b) => b > 0) && bytes[0] !== 255),
  });

  it('are read as they were written', () => {
    fc.assert(
      fc.property(anyInvoice, (written) => {
        const text = writeInvoice(written);
        const read = decodeInvoice(text);
        expect(read).toEqual({
          bolt11: text,
          prefix: written.prefix,
          amountMsat: written.amountMsat,
          createdAtS: written.createdAtS,
          expiresAtS: written.createdAtS + (written.expiryS ?? 3600),
          paymentHash: written.paymentHash,
          paymentSecret: written.paymentSecret ?? null,
          payee: payeeOf(written.key),
          description: written.description ?? null,
          descriptionHash: written.descriptionHash ?? null,
          minFinalCltvExpiry: written.minFinalCltvExpiry ?? 18,
          features: [...written.features].sort((a, b) => a - b),
        });
        expect(decodeInvoice(`LIGHTNING:${text.toUpperCase()}`)).toEqual(read);
      }),
      { numRuns: 300, seed: 11 },
    );
  });

  it('whose words were changed under a fresh checksum are never read as signed by the same payee', () => {
    const text = writeInvoice({
      ...BASE,
      amountMsat: 250_000n,
      expiryS: 600,
      features: [8, 14],
      paymentSecret: '33'.repeat(32),
    });
    const { prefix, words } = bech32.decode(text as `${string}1${string}`, false);
    fc.assert(
      fc.property(fc.nat(words.length - 2), fc.integer({ min: 1, max: 31 }), (at, flip) => {
        const forged = [...words];
        forged[at] = (forged[at] ?? 0) ^ flip;
        try {
          expect(decodeInvoice(bech32.encode(prefix, forged, false)).payee).not.toBe(payeeOf(KEY));
        } catch (error) {
          expect(error).toBeInstanceOf(InvoiceError);
        }
      }),
      { numRuns: 500, seed: 12 },
    );
  });

  it('with a payee named that did not sign are refused', () => {
    const text = writeInvoice({ ...BASE, namePayee: true });
    const { prefix, words } = bech32.decode(text as `${string}1${string}`, false);
    const forged = [...words];
    forged[2] = (forged[2] ?? 0) ^ 1;
    expect(() => decodeInvoice(bech32.encode(prefix, forged, false))).toThrow(
      /signature of the invoice is wrong/,
    );
  });

  it('without a payment hash, with a feature but not what it needs, or for more than exists are refused', () => {
    expect(() => decodeInvoice(writeInvoice({ ...BASE, paymentHash: '22'.repeat(31) }))).toThrow(
      /no payment hash/,
    );
    expect(() => decodeInvoice(writeInvoice({ ...BASE, features: [8, 16] }))).toThrow(
      /feature 16 without feature 14/,
    );
    expect(() => decodeInvoice(writeInvoice({ ...BASE, amountMsat: 2_200_000_000_000_000_000n }))).toThrow(
      /more bitcoin/,
    );
  });

  it('never makes it throw anything but InvoiceError, whatever the text', () => {
    const noise = fc.oneof(
      fc.string({ maxLength: 400 }),
      fc.array(fc.nat(31), { maxLength: 400 }).map((words) => bech32.encode('lnbc20m', words, false)),
    );
    fc.assert(
      fc.property(noise, (text) => {
        try {
          decodeInvoice(text);
        } catch (error) {
          expect(error).toBeInstanceOf(InvoiceError);
        }
      }),
      { numRuns: 1000, seed: 13 },
    );
    expect(() => decodeInvoice(Buffer.from(getRandomValues(new Uint8Array(4000))).toString('hex'))).toThrow(
      /at most 7089/,
    );
  });
});
