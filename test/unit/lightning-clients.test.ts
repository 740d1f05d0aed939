// The clients against a stand-in that answers as the nodes are documented to, and against nonsense.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LightningNodeError } from '../../engine/payouts/lightning/client.js';
import { ClnClient } from '../../engine/payouts/lightning/cln-client.js';
import { LndClient } from '../../engine/payouts/lightning/lnd-client.js';
import { projectRoot } from '../../storage/project-root.js';
import { LightningStandIn, MACAROON, NODE_ID, RUNE, STAND_IN_PAYEE } from '../fixtures/lightning-stand-in.js';

const tls = join(projectRoot(), 'test', 'fixtures', 'tls');
const network = new LightningStandIn();
let lnd: LndClient;
let cln: ClnClient;
let urls: { lnd: string; cln: string; secure: string };

beforeAll(async () => {
  const pem = (name: string) => readFileSync(join(tls, name), 'utf8');
  urls = {
    lnd: await network.listen('lnd'),
    cln: await network.listen('cln'),
    secure: await network.listen('lnd', { key: pem('first-key.pem'), cert: pem('first-cert.pem') }),
  };
  lnd = new LndClient({ url: urls.lnd, macaroon: MACAROON });
  cln = new ClnClient({ url: urls.cln, rune: RUNE });
});
afterAll(() => network.close());

const PAY = { description: null, maxFeeSats: 10n, timeoutS: 5 };

for (const name of ['lnd', 'cln'] as const) {
  const client = () => (name === 'lnd' ? lnd : cln);
  describe(`the ${name} client`, () => {
    it('says who the node is and what an invoice holds', async () => {
      expect(await client().info()).toMatchObject({ nodeId: NODE_ID, prefix: 'bcrt', synced: true });
      const invoice = network.invoiceFor('a', 1_500n);
      expect(await client().decode(invoice)).toMatchObject({ amountMsat: 1_500n, payee: STAND_IN_PAYEE });
    });

    it('pays, proves it by the preimage, and knows it afterwards', async () => {
      const bolt11 = network.invoiceFor(`${name}-pays`, 1_500n);
      const paid = await client().pay({ ...PAY, bolt11 });
      expect(paid).toEqual({
        state: 'paid',
        preimage: expect.stringMatching(/^[0-9a-f]{64}$/),
        feeMsat: 1_234n,
      });
      const { paymentHash } = await client().decode(bolt11);
      expect(await client().status(paymentHash)).toEqual(paid);
      expect(await client().status('00'.repeat(32))).toEqual({ state: 'unknown' });
    });

    it('says failed when the node gave up, and in flight while it has not', async () => {
      network.routes.set(`${name}-fails`, ['fail']);
      const bolt11 = network.invoiceFor(`${name}-fails`, 1_500n);
      expect(await client().pay({ ...PAY, bolt11 })).toMatchObject({ state: 'failed' });
      network.routes.set(`${name}-holds`, ['hold']);
      const held = network.invoiceFor(`${name}-holds`, 1_500n);
      const outcome = await client()
        .pay({ ...PAY, bolt11: held })
        .catch((error) => error);
      if (name === 'lnd') expect(outcome).toEqual({ state: 'in_flight' });
      else expect(outcome).toBeInstanceOf(LightningNodeError);
      const { paymentHash } = await client().decode(held);
      expect(await client().status(paymentHash)).toEqual({ state: 'in_flight' });
    });

    it('calls nothing failed that the node merely refused to do again', async () => {
      const bolt11 = network.invoiceFor(`${name}-twice`, 1_500n);
      await client().pay({ ...PAY, bolt11 });
      const again = await client()
        .pay({ ...PAY, bolt11 })
        .catch((error) => error);
      // LND says "already paid", Core Lightning gives the old result.
      if (name === 'lnd') expect(again.message).toMatch(/already paid/);
      else expect(again).toMatchObject({ state: 'paid' });
      expect(network.received.get(`${name}-twice`)).toHaveLength(1);
    });

    it('names the cure and not the secret when it is refused', async () => {
      const secret = 'deadbeefdeadbeef';
      const refused =
        name === 'lnd'
          ? new LndClient({ url: urls.lnd, macaroon: secret })
          : new ClnClient({ url: urls.cln, rune: secret });
      const error = (await refused.info().catch((thrown) => thrown)) as Error;
      expect(error).toBeInstanceOf(LightningNodeError);
      expect(error.message).toMatch(name === 'lnd' ? /Check the macaroon/ : /Check the rune/);
      expect(`${error.message}${error.stack}`).not.toContain(secret);
    });

    it('refuses answers that are cut, too long, late, of another payment or no proof', async () => {
      const hash = '11'.repeat(32);
      const wrongPreimage =
        name === 'lnd'
          ? {
              result: {
                payment_hash: hash,
                status: 'SUCCEEDED',
                payment_preimage: '22'.repeat(32),
                fee_msat: '0',
              },
            }
          : {
              pays: [
                {
                  payment_hash: hash,
                  status: 'complete',
                  preimage: '22'.repeat(32),
                  amount_msat: 1,
                  amount_sent_msat: 1,
                },
              ],
            };
      const otherPayment = JSON.parse(JSON.stringify(wrongPreimage).replaceAll(hash, '33'.repeat(32)));
      const strangeStatus = JSON.parse(JSON.stringify(wrongPreimage).replace(/SUCCEEDED|complete/, 'DONE'));
      const answers: [string, RegExp][] = [
        [JSON.stringify(wrongPreimage), /preimage does not hash/],
        [JSON.stringify(otherPayment), /of another payment/],
        [JSON.stringify(strangeStatus), /status is none/],
        ['{"result": {"payment_ha', /not JSON/],
        ['[]', /not an object/],
        ['', /nothing|without a line/],
        [`"${'x'.repeat(5 * 1024 * 1024)}"`, /more than/],
      ];
      for (const [text, says] of answers) {
        const broken = await brokenNode(text);
        const asked = broken.client(name).status(hash);
        await expect(asked).rejects.toThrow(LightningNodeError);
        await expect(asked).rejects.toThrow(says);
        broken.close();
      }
      const silent = await brokenNode(null);
      await expect(silent.client(name).status(hash)).rejects.toThrow(/did not answer within/);
      silent.close();
      await expect(silent.client(name).status(hash)).rejects.toThrow(/cannot be reached/);
    });
  });
}

describe('the way to the node', () => {
  it('trusts the pinned certificate and no other', async () => {
    const options = { url: urls.secure, macaroon: MACAROON };
    const pinned = new LndClient({ ...options, certificateFile: join(tls, 'first-cert.pem') });
    expect(await pinned.info()).toMatchObject({ nodeId: NODE_ID });
    const other = new LndClient({ ...options, certificateFile: join(tls, 'second-cert.pem') });
    await expect(other.info()).rejects.toThrow(/certificate/);
    await expect(new LndClient(options).info()).rejects.toThrow(/certificate/);
  });

  it('sends no secret in the clear, and says what is wrong with a setting', () => {
    expect(() => new ClnClient({ url: 'http://10.0.0.5:3010', rune: RUNE })).toThrow(/Use https/);
    expect(() => new LndClient({ url: urls.lnd, macaroon: 'no hex' })).toThrow(/not hex/);
    expect(() => new ClnClient({ url: urls.cln, rune: 'a\r\nb' })).toThrow(/not plain text/);
    const missing = { url: 'https://127.0.0.1:1', macaroon: MACAROON, certificateFile: '/nonexistent.cert' };
    expect(() => new LndClient(missing)).toThrow(/cannot be read/);
  });
});

/** A node that answers everything with `text`, or never when it is null. */
async function brokenNode(text: string | null) {
  const server = createServer((request, response) => {
    request.resume();
    if (text !== null) response.end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    client: (name: 'lnd' | 'cln') =>
      name === 'lnd'
        ? new LndClient({ url, macaroon: MACAROON, timeoutMs: 1500 })
        : new ClnClient({ url, rune: RUNE, timeoutMs: 1500 }),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
