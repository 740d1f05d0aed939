// Signatures by Bitcoin Core itself: signmessage for the older form, and for BIP322 its signer for transactions, which is
// given `to_spend` as the output to spend.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { base64 } from '@scure/base';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parsePayoutAddress } from '../../engine/bitcoin/address.js';
import { bytesToHex, displayHash, hexToBytes } from '../../engine/bitcoin/hex.js';
import { verifyMessage } from '../../engine/bitcoin/message-signature.js';
import { toSign, toSpend } from '../../engine/bitcoin/message-signature-bip322.js';
import {
  concatBytes,
  encodeVarint,
  parseTransaction,
  serializeTransaction,
  txid,
} from '../../engine/bitcoin/transaction.js';
import { type RunningBitcoind, startBitcoind } from '../../storage/embedded/bitcoind.js';
import { projectRoot } from '../../storage/project-root.js';

const folder = mkdtempSync(join(tmpdir(), 'millrace-signatures-'));
const MESSAGE = 'Millrace: pay account "café" on regtest to one, another 60 %.';
let node: RunningBitcoind;

async function rpc<T>(method: string, ...params: unknown[]): Promise<T> {
  const response = await fetch(`${node.rpcUrl.replace(/\/$/, '')}/wallet/signer`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(readFileSync(node.cookieFile, 'utf8').trim())}` },
    body: JSON.stringify({ method, params, id: 1 }),
  });
  const { result, error } = (await response.json()) as { result: T; error: { message: string } | null };
  if (error !== null) throw new Error(`${method}: ${error.message}`);
  return result;
}

beforeAll(async () => {
  const env = {
    ...process.env,
    MILLRACE_CACHE_DIR: process.env.MILLRACE_CACHE_DIR ?? join(projectRoot(), '.millrace', 'cache'),
  };
  node = await startBitcoind({ dataDir: folder, network: 'regtest', env, log: () => {} });
  await rpc('createwallet', 'signer');
});

afterAll(async () => {
  await node?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const check = (address: string, message: string, signature: string) =>
  verifyMessage({ address, network: 'regtest', message, signature });

describe('a message signed by Bitcoin Core', () => {
  it('with signmessage is taken, and no other', async () => {
    for (const message of ['', 'plain', MESSAGE, 'x'.repeat(253), 'two\nlines']) {
      const address = await rpc<string>('getnewaddress', '', 'legacy');
      const other = await rpc<string>('getnewaddress', '', 'legacy');
      const signature = await rpc<string>('signmessage', address, message);
      expect(check(address, message, signature)).toMatchObject({ valid: true, kind: 'legacy' });
      expect(await rpc('verifymessage', address, signature, message)).toBe(true);
      expect(check(other, message, signature).valid).toBe(false);
      expect(check(address, `${message}.`, signature).valid).toBe(false);
    }
  });

  it.each([
    ['legacy', 'p2pkh'],
    ['p2sh-segwit', 'p2sh'],
    ['bech32', 'p2wpkh'],
    ['bech32m', 'p2tr'],
  ])('by BIP322 with a %s address is taken, full and simple', async (kind, type) => {
    const address = await rpc<string>('getnewaddress', '', kind);
    const payee = parsePayoutAddress(address, 'regtest');
    expect(payee.type).toBe(type);
    const spent = toSpend(payee.script, new TextEncoder().encode(MESSAGE));
    const unsigned = toSign(spent, new Uint8Array(), []);
    const { hex, complete } = await rpc<{ hex: string; complete: boolean }>(
      'signrawtransactionwithwallet',
      bytesToHex(serializeTransaction(unsigned)),
      [{ txid: displayHash(txid(spent)), vout: 0, scriptPubKey: bytesToHex(payee.script), amount: 0 }],
    );
    expect(complete).toBe(true);
    const full = base64.encode(hexToBytes(hex));
    expect(check(address, MESSAGE, full)).toMatchObject({ valid: true, kind: 'bip322_full' });
    expect(check(address, 'another', full).valid).toBe(false);
    if (type === 'p2pkh') return;
    const { witness } = parseTransaction(hexToBytes(hex)).inputs[0] as { witness: readonly Uint8Array[] };
    const items = witness.flatMap((item) => [encodeVarint(item.length), item]);
    const simple = base64.encode(concatBytes([encodeVarint(witness.length), ...items]));
    expect(check(address, MESSAGE, simple)).toMatchObject({ valid: true, kind: 'bip322_simple' });
    expect(check(address, 'another', simple).valid).toBe(false);
  });
});
