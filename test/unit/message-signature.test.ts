import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { base64 } from '@scure/base';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressFromScript, parsePayoutAddress } from '../../engine/bitcoin/address.js';
import { sha256d } from '../../engine/bitcoin/hash.js';
import { bytesToHex, displayHash } from '../../engine/bitcoin/hex.js';
import {
  MESSAGE_BYTES_MAX,
  SIGNATURE_CHARS_MAX,
  verifyMessage,
} from '../../engine/bitcoin/message-signature.js';
import { messageHash, toSign, toSpend } from '../../engine/bitcoin/message-signature-bip322.js';
import {
  concatBytes,
  encodeVarint,
  parseTransaction,
  serializeTransaction,
  type Transaction,
  txid,
} from '../../engine/bitcoin/transaction.js';
import { projectRoot } from '../../storage/project-root.js';
import { KEY_ADDRESS_TYPES, keyAddress } from '../fixtures/bip322-signer.js';

type Signed = [address: string, message: string, signature: string];
const vectors = JSON.parse(
  readFileSync(join(projectRoot(), 'test/fixtures/message-signatures.json'), 'utf8'),
) as {
  hashes: { message: string; messageHash: string; toSpend: string; toSign: string }[];
  hashesAddress: string;
  simple: Signed[];
  full: Signed[];
  inconclusive: Signed[];
  wrong: Signed[];
  legacy: Signed;
};
const utf8 = (text: string) => new TextEncoder().encode(text);
const check = ([address, message, signature]: Signed, network: 'mainnet' | 'regtest' = 'mainnet') =>
  verifyMessage({ address, network, message, signature });
const why = (signed: Signed, network?: 'mainnet' | 'regtest') => {
  const verdict = check(signed, network);
  return verdict.valid ? 'valid' : verdict.why;
};
const [P2WPKH, , , , P2WSH, P2TR] = vectors.simple as [Signed, Signed, Signed, Signed, Signed, Signed];
const [P2PKH_FULL, P2WPKH_FULL] = vectors.full as [Signed, Signed];
const key = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .filter((bytes) => secp256k1.utils.isValidSecretKey(bytes));

/** "Bitcoin Signed Message" by `privateKey`, with the header base of BIP137: 27, 31, 35 or 39. */
function signLegacy(privateKey: Uint8Array, message: string, base: number, lowS = true): string {
  const bytes = utf8(message);
  const digest = sha256d(
    concatBytes([utf8('\x18Bitcoin Signed Message:\n'), encodeVarint(bytes.length), bytes]),
  );
  const signed = secp256k1.sign(digest, privateKey, { prehash: false, lowS, format: 'recovered' });
  return base64.encode(concatBytes([Uint8Array.of(base + (signed[0] as number)), signed.subarray(1)]));
}

/** The vector's signature with its transaction changed. */
function edited([address, message, signature]: Signed, edit: (old: Transaction) => Transaction): Signed {
  return [
    address,
    message,
    base64.encode(serializeTransaction(edit(parseTransaction(base64.decode(signature))))),
  ];
}

describe('vectors of BIP322 and Bitcoin Core', () => {
  it.each(vectors.hashes)('hash $message', ({ message, ...hashes }) => {
    const spent = toSpend(parsePayoutAddress(vectors.hashesAddress, 'mainnet').script, utf8(message));
    expect({
      messageHash: bytesToHex(messageHash(utf8(message))),
      toSpend: displayHash(txid(spent)),
      toSign: displayHash(txid(toSign(spent, new Uint8Array(), []))),
    }).toEqual(hashes);
  });

  it.each(vectors.simple)('take the simple signature of %s for %j', (...signed) => {
    expect(check(signed)).toEqual({ valid: true, kind: 'bip322_simple', lockTime: 0, sequence: 0 });
  });

  it.each(vectors.full)('take the full signature of %s for %j and tell its locks', (...signed) => {
    expect(check(signed)).toEqual({ valid: true, kind: 'bip322_full', lockTime: 2016, sequence: 2016 });
  });

  it.each(vectors.inconclusive)('refuse the script of %s as inconclusive', (...signed) => {
    expect(why(signed)).toContain('inconclusive');
  });

  it.each(vectors.wrong)('refuse for %s and %j the signature %s', (...signed) => {
    expect(check(signed).valid).toBe(false);
  });

  it("take Bitcoin Core's signmessage", () => {
    expect(check(vectors.legacy, 'regtest')).toMatchObject({ valid: true, kind: 'legacy' });
    expect(why(vectors.legacy)).toContain('belongs to');
  });
});

describe('any signature', () => {
  it('of a random key is taken for its own address and message and for no other', () => {
    fc.assert(
      fc.property(
        key,
        fc.constantFrom(...KEY_ADDRESS_TYPES),
        fc.string({ unit: 'grapheme' }),
        fc.constantFrom('mainnet' as const, 'regtest' as const),
        (privateKey, type, message, network) => {
          const owner = keyAddress(privateKey, type, network);
          const other = keyAddress(new Uint8Array(32).fill(7), type, network);
          const forms = type === 'p2pkh' ? [owner.signFull] : [owner.signFull, owner.signSimple];
          for (const sign of forms) {
            const signature = sign(message);
            const verdict = check([owner.address, message, signature], network);
            expect(verdict).toMatchObject({ valid: true, lockTime: 0, sequence: 0 });
            expect(check([owner.address, `${message} `, signature], network).valid).toBe(false);
            expect(check([other.address, message, signature], network).valid).toBe(false);
            const elsewhere = network === 'mainnet' ? 'regtest' : 'mainnet';
            expect(check([owner.address, message, signature], elsewhere).valid).toBe(false);
          }
        },
      ),
      { seed: 322, numRuns: 60 },
    );
  });

  const flippable: [string, Signed, 'mainnet' | 'regtest'][] = [
    ['simple p2wpkh', P2WPKH, 'mainnet'],
    ['simple p2tr', P2TR, 'mainnet'],
    ['full p2pkh', P2PKH_FULL, 'mainnet'],
    ['full p2wpkh', P2WPKH_FULL, 'mainnet'],
    ['full p2tr', vectors.full[2] as Signed, 'mainnet'],
    ['full p2sh-p2wpkh', vectors.full[3] as Signed, 'mainnet'],
    ['legacy', vectors.legacy, 'regtest'],
  ];
  it.each(flippable)('%s is refused with any bit flipped', (_, [address, message, text], network) => {
    const bytes = base64.decode(text.replace(/^smp/, ''));
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.with(bit >> 3, (bytes[bit >> 3] as number) ^ (1 << (bit & 7)));
      if (check([address, message, base64.encode(flipped)], network).valid) {
        expect.fail(`bit ${bit & 7} of byte ${bit >> 3} may be flipped`);
      }
    }
  });

  it('of several keys is refused with any bit of it or of its message flipped', () => {
    const [address, message, text] = P2WSH;
    const bytes = base64.decode(text.slice(3));
    fc.assert(
      fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
        const flipped = bytes.with(bit >> 3, (bytes[bit >> 3] as number) ^ (1 << (bit & 7)));
        expect(check([address, message, base64.encode(flipped)]).valid).toBe(false);
      }),
      { seed: 137, numRuns: 400 },
    );
    const words = utf8(message);
    for (let bit = 0; bit < words.length * 8; bit += 5) {
      const flipped = words.with(bit >> 3, (words[bit >> 3] as number) ^ (1 << (bit & 7)));
      expect(check([address, Buffer.from(flipped).toString('latin1'), text]).valid).toBe(false);
    }
  });

  it('is refused with bytes added, cut off, or base64 written another way', () => {
    for (const [address, message, text] of [P2WPKH, P2TR, P2PKH_FULL, P2WPKH_FULL] as Signed[]) {
      const bytes = base64.decode(text.replace(/^smp/, ''));
      const forms = [concatBytes([bytes, Uint8Array.of(0)]), bytes.subarray(0, -1), bytes.subarray(1)];
      for (const form of forms) expect(check([address, message, base64.encode(form)]).valid).toBe(false);
      for (const form of [`${text}\n`, ` ${text}`, `${text}=`, text.replaceAll('=', '')]) {
        if (form !== text) expect(check([address, message, form]).valid).toBe(false);
      }
    }
  });

  it('and anything else never throws', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.constantFrom(P2WPKH[0], P2TR[0], P2WSH[0], P2PKH_FULL[0], vectors.full[3]?.[0] ?? ''),
        ),
        fc.string({ unit: 'binary' }),
        fc.oneof(
          fc.string(),
          fc.uint8Array({ maxLength: 300 }).map((bytes) => base64.encode(bytes)),
        ),
        (address, message, signature) => {
          expect(check([address, message, signature]).valid).toBe(false);
        },
      ),
      { seed: 1, numRuns: 3000 },
    );
  });
});

describe('the older "Bitcoin Signed Message"', () => {
  const secret = new Uint8Array(32).fill(9);
  const of = (type: 'p2pkh' | 'p2sh' | 'p2wpkh' | 'p2tr' | 'p2wsh') =>
    keyAddress(secret, type, 'regtest').address;

  it.each([
    ['p2pkh', 31],
    ['p2sh', 35],
    ['p2wpkh', 39],
  ] as const)('is taken for %s with header %i and for no other type', (type, base) => {
    const signature = signLegacy(secret, 'pay me', base);
    expect(check([of(type), 'pay me', signature], 'regtest')).toMatchObject({ valid: true, kind: 'legacy' });
    for (const other of KEY_ADDRESS_TYPES.filter((one) => one !== type)) {
      expect(why([of(other), 'pay me', signature], 'regtest')).toContain('BIP137 header');
    }
  });

  it('is refused with a high S', () => {
    const high = Array.from({ length: 20 }, (_, i) => [
      `message ${i}`,
      signLegacy(secret, `message ${i}`, 31, false),
    ]);
    const verdicts = high.map(([message, signature]) =>
      why([of('p2pkh'), message as string, signature as string], 'regtest'),
    );
    expect(new Set(verdicts)).toEqual(
      new Set(['valid', 'the signature is not in its canonical form (high S)']),
    );
  });

  it('is refused with a header outside 27 to 42', () => {
    for (const header of [0, 26, 43, 255]) {
      const bytes = base64.decode(signLegacy(secret, 'x', 31)).with(0, header);
      expect(why([of('p2pkh'), 'x', base64.encode(bytes)], 'regtest')).toContain('not one of 27 to 42');
    }
  });
});

describe('the rules of BIP322', () => {
  const secret = new Uint8Array(32).fill(5);
  const signer = keyAddress(secret, 'p2wpkh', 'regtest');
  const signed: Signed = [signer.address, 'rules', signer.signFull('rules')];

  it('refuse several inputs, other outputs and other versions', () => {
    const twice = edited(signed, (old) => ({ ...old, inputs: [...old.inputs, ...old.inputs] }));
    expect(why(twice, 'regtest')).toContain('proof of funds');
    expect(why([signed[0], 'rules', `pof${signed[2]}`], 'regtest')).toContain('proof of funds');
    for (const outputs of [
      [],
      [{ sats: 1n, script: Uint8Array.of(0x6a) }],
      [{ sats: 0n, script: Uint8Array.of(0x51) }],
    ]) {
      expect(
        why(
          edited(signed, (old) => ({ ...old, outputs })),
          'regtest',
        ),
      ).toContain('one output');
    }
    const [address, message, text] = edited(signed, (old) => ({ ...old, version: 1 }));
    expect(why([address, message, `ful${text}`], 'regtest')).toContain('version 1');
  });

  it('refuse a lock that was not signed', () => {
    expect(
      why(
        edited(signed, (old) => ({ ...old, lockTime: 1 })),
        'regtest',
      ),
    ).toContain('another message or by another key');
  });

  it('refuse a sighash other than ALL, a high S and DER that is not strict', () => {
    const [input] = parseTransaction(base64.decode(signed[2])).inputs;
    const [signature, publicKey] = (input?.witness ?? []) as [Uint8Array, Uint8Array];
    const withSignature = (item: Uint8Array): Signed =>
      edited(signed, (old) => ({
        ...old,
        inputs: old.inputs.map((one) => ({ ...one, witness: [item, publicKey] })),
      }));
    expect(check(withSignature(signature), 'regtest').valid).toBe(true);
    expect(why(withSignature(signature.with(-1, 3)), 'regtest')).toContain('SIGHASH_ALL');
    const { r, s } = secp256k1.Signature.fromBytes(signature.subarray(0, -1), 'der');
    const high = new secp256k1.Signature(r, secp256k1.Point.Fn.ORDER - s).toBytes('der');
    expect(why(withSignature(concatBytes([high, Uint8Array.of(1)])), 'regtest')).toContain('high S');
    const padded = Uint8Array.of(
      0x30,
      (signature[1] as number) + 1,
      2,
      (signature[3] as number) + 1,
      0,
      ...signature.subarray(4),
    );
    expect(why(withSignature(padded), 'regtest')).toContain('DER');
  });

  it('refuse taproot with a sighash other than DEFAULT and ALL, with an annex or a script path', () => {
    const taproot = keyAddress(secret, 'p2tr', 'regtest');
    const stack = base64.decode(taproot.signSimple('t'));
    const sig = stack.subarray(2);
    const of = (...items: Uint8Array[]) =>
      base64.encode(
        concatBytes([encodeVarint(items.length), ...items.flatMap((one) => [encodeVarint(one.length), one])]),
      );
    expect(check([taproot.address, 't', of(sig)], 'regtest').valid).toBe(true);
    for (const type of [0, 2, 3, 0x81]) {
      expect(why([taproot.address, 't', of(concatBytes([sig, Uint8Array.of(type)]))], 'regtest')).toContain(
        'SIGHASH_DEFAULT',
      );
    }
    expect(why([taproot.address, 't', of(sig, Uint8Array.of(0x50))], 'regtest')).toContain('annex');
    expect(why([taproot.address, 't', of(sig, Uint8Array.of(0xc0))], 'regtest')).toContain('script path');
  });

  it('refuse what no signature covers: a dummy that is not empty, a scriptSig or a witness too many', () => {
    const stack = base64.decode(P2WSH[2].slice(3));
    // Five items, the first one empty: now it is the byte 1.
    const dummy = concatBytes([Uint8Array.of(5, 1, 1), stack.subarray(2)]);
    expect(why([P2WSH[0], P2WSH[1], base64.encode(dummy)])).toContain('an empty item');
    const withInput = (of: Signed, change: Partial<Transaction['inputs'][number]>) =>
      edited(of, (old) => ({ ...old, inputs: old.inputs.map((one) => ({ ...one, ...change })) }));
    expect(why(withInput(signed, { scriptSig: Uint8Array.of(0x51) }), 'regtest')).toContain(
      'takes no scriptSig',
    );
    expect(why(withInput(P2PKH_FULL, { witness: [Uint8Array.of(1)] }))).toContain('takes no witness');
  });

  it('refuse a simple signature for p2pkh', () => {
    expect(
      why([keyAddress(secret, 'p2pkh', 'regtest').address, 'rules', signer.signSimple('rules')], 'regtest'),
    ).toContain('no simple BIP322 signature');
  });

  it('bound what they are given', () => {
    expect(why([signer.address, 'x'.repeat(MESSAGE_BYTES_MAX + 1), signed[2]], 'regtest')).toContain(
      'is the most',
    );
    expect(why([signer.address, 'x', 'A'.repeat(SIGNATURE_CHARS_MAX + 1)], 'regtest')).toContain(
      'is the most',
    );
    expect(why([signer.address, '\ud800', signed[2]], 'regtest')).toContain('Unicode');
    // A count of items that the bytes cannot hold.
    expect(
      why([signer.address, 'x', base64.encode(Uint8Array.of(0xfe, 255, 255, 255, 255))], 'regtest'),
    ).toContain('well-formed');
  });
});

describe('addresses to pay to', () => {
  it('are stored in one form, with their type', () => {
    expect(parsePayoutAddress('BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4', 'mainnet')).toMatchObject({
      address: 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4',
      type: 'p2wpkh',
    });
    for (const type of KEY_ADDRESS_TYPES) {
      const { address } = keyAddress(new Uint8Array(32).fill(3), type, 'regtest');
      expect(parsePayoutAddress(address, 'regtest')).toMatchObject({ address, type });
      expect(() => parsePayoutAddress(address, 'mainnet')).toThrow('the pool runs on mainnet');
    }
  });

  it('are refused when anyone could take the coins, or nobody', () => {
    for (const address of ['BC1SW50QGDZ25J', 'bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs', 'bc1pfeessrawgf']) {
      expect(() => parsePayoutAddress(address, 'mainnet')).toThrow('no rules yet');
    }
    // x = 5 and x = 2^256 - 1 are on no point of the curve (BIP340).
    for (const x of [new Uint8Array(32).with(31, 5), new Uint8Array(32).fill(255)]) {
      const address = addressFromScript(concatBytes([Uint8Array.of(0x51, 32), x]), 'mainnet') ?? '';
      expect(() => parsePayoutAddress(address, 'mainnet')).toThrow('no key of the curve');
    }
  });
});
