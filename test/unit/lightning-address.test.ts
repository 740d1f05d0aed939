// Lightning addresses against a real HTTP server that keeps the rules (LUD-06, LUD-16), then breaks each.
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  fetchInvoice,
  LightningAddressError,
  parseLightningAddress,
} from '../../engine/payouts/lightning/lightning-address.js';
import { getPublicJson, isPublicAddress } from '../../engine/payouts/lightning/public-get.js';
import { LightningStandIn, metadataOf } from '../fixtures/lightning-stand-in.js';

let network: LightningStandIn;
let domain: string;
const servers: Server[] = [];

beforeEach(async () => {
  network = new LightningStandIn();
  domain = new URL(await network.listen('lnurl')).host;
});
afterEach(async () => {
  await network.close();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

const ask = (user = 'miner') =>
  fetchInvoice(
    `${user}@${domain}`,
    { amountMsat: 21_000_000n, prefix: 'bcrt', nowS: network.nowS },
    { allowLoopback: true, timeoutMs: 2000 },
  );

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('a Lightning address', () => {
  it('becomes an invoice of the amount asked for, bound to the terms', async () => {
    const { invoice, description } = await ask();
    expect(invoice).toMatchObject({ amountMsat: 21_000_000n, prefix: 'bcrt' });
    expect(description).toBe(metadataOf('miner', domain));
  });

  it('may give an invoice that carries its description itself', async () => {
    network.twist = ({ descriptionHash: _, ...written }) => ({ ...written, description: 'hello' });
    expect(await ask()).toMatchObject({ description: null, invoice: { description: 'hello' } });
  });

  const lies: [string, () => void, RegExp][] = [
    [
      'of another amount',
      () => {
        network.twist = (i) => ({ ...i, amountMsat: 21_000_001n });
      },
      /asks for 21000001/,
    ],
    [
      'of any amount',
      () => {
        network.twist = (i) => ({ ...i, amountMsat: null });
      },
      /any number/,
    ],
    [
      'of another network',
      () => {
        network.twist = (i) => ({ ...i, prefix: 'bc' });
      },
      /network lnbc/,
    ],
    [
      'that has expired',
      () => {
        network.twist = (i) => ({ ...i, createdAtS: i.createdAtS - 7200 });
      },
      /expired/,
    ],
    [
      'that never expires',
      () => {
        network.twist = (i) => ({ ...i, expiryS: 40 * 86_400 });
      },
      /31 days/,
    ],
    [
      'from the future',
      () => {
        network.twist = (i) => ({ ...i, createdAtS: i.createdAtS + 3600 });
      },
      /future/,
    ],
    [
      'for something else',
      () => {
        network.twist = (i) => ({ ...i, descriptionHash: '00'.repeat(32) });
      },
      /description hash/,
    ],
  ];
  for (const [what, lie, says] of lies) {
    it(`does not accept an invoice ${what}`, async () => {
      lie();
      await expect(ask()).rejects.toThrow(LightningAddressError);
      await expect(ask()).rejects.toThrow(says);
    });
  }

  const terms: [string, Record<string, unknown>, RegExp][] = [
    ['a minimum above the amount', { minSendable: 22_000_000 }, /takes 22000000 to/],
    ['a maximum below the amount', { maxSendable: 20_999_999 }, /to 20999999 millisatoshi/],
    ['a minimum above the maximum', { minSendable: 9, maxSendable: 8 }, /contradict/],
    ['a minimum of nothing', { minSendable: 0 }, /contradict/],
    ['an amount that is no number', { maxSendable: 1.5 }, /maxSendable is not/],
    ['another tag', { tag: 'withdrawRequest' }, /does not take payments/],
    ['metadata that is no JSON', { metadata: 'hello' }, /metadata is not JSON/],
    ['metadata without a plain text', { metadata: '[["text/identifier","x"]]' }, /one text\/plain/],
    ['metadata of a null', { metadata: '[null]' }, /one text\/plain/],
    ['a callback that is no URL', { callback: 'pay me' }, /callback is not a URL/],
    ['a callback into our network', { callback: 'https://10.1.2.3/pay' }, /not on the public internet/],
    [
      'a callback to a cloud’s metadata',
      { callback: 'https://169.254.169.254/latest' },
      /not on the public internet/,
    ],
    ['a callback in the clear', { callback: 'http://example.com/pay' }, /not reached by https/],
    ['a callback to a file', { callback: 'file:///etc/passwd' }, /not reached by https/],
    ['a callback with a login', { callback: 'https://a:b@example.com/' }, /login/],
  ];
  for (const [what, change, says] of terms) {
    it(`does not accept terms with ${what}`, async () => {
      network.twistTerms = (known) => ({ ...known, ...change });
      await expect(ask()).rejects.toThrow(says);
    });
  }

  it('passes on why a service refuses, on one line', async () => {
    network.broken.set('gone', { status: 'ERROR', reason: 'no such\nuser' });
    await expect(ask('gone')).rejects.toThrow('the service refuses: no such user');
    network.broken.set('odd', ['a list']);
    await expect(ask('odd')).rejects.toThrow(/not an object/);
  });

  it('is read strictly', () => {
    expect(parseLightningAddress('a.b-c_d+1@pay.example.com')).toEqual({
      user: 'a.b-c_d+1',
      domain: 'pay.example.com',
    });
    for (const wrong of [
      'a',
      '@example.com',
      'a@',
      'a@b@c.de',
      'A@example.com',
      'a b@example.com',
      'a/..@example.com',
      'a@localhost',
      'a@127.0.0.1',
      'a@10.0.0.1',
      'a@example.com:8080',
      'a@exa_mple.com',
      'a@-x.com',
      'a@example.com/x',
      'a@[::1]',
      `${'a'.repeat(65)}@example.com`,
      'a@0x7f.1',
      'a@2130706433',
    ]) {
      expect(() => parseLightningAddress(wrong), wrong).toThrow(LightningAddressError);
    }
    expect(() => parseLightningAddress('a@service.onion')).toThrow(/onion/);
  });
});

describe('asking a stranger', () => {
  const get = (host: string, options = {}) =>
    getPublicJson(new URL(`http://${host}/x`), { allowLoopback: true, timeoutMs: 500, ...options });

  it('follows redirects, but not into our network, not for ever, and not out of https', async () => {
    const good = await serve((_, response) => response.end('{"ok":true}'));
    const to = (location: string) => serve((_, response) => response.writeHead(302, { location }).end());
    expect(await get(await to(`http://${good}/`))).toEqual({ ok: true });
    for (const inside of ['https://192.168.1.1/', 'https://[fd00::1]/', 'https://[::ffff:10.0.0.1]/']) {
      await expect(get(await to(inside)), inside).rejects.toThrow(/not on the public internet/);
    }
    await expect(get(await to('http://example.com/'))).rejects.toThrow(/not reached by https/);
    const loop = await serve((_, response) => response.writeHead(302, { location: '/again' }).end());
    await expect(get(loop)).rejects.toThrow(/redirects more than 3 times/);
  });

  it('bounds size and time, and wants JSON', async () => {
    await expect(
      get(await serve((_, response) => response.end('x'.repeat(2000))), { bytesMax: 1000 }),
    ).rejects.toThrow(/more than 1000 bytes/);
    await expect(get(await serve(() => {}))).rejects.toThrow(/in time/);
    const dripping = await serve((_, response) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(timer));
    });
    await expect(get(dripping)).rejects.toThrow(/in time/);
    await expect(get(await serve((_, response) => response.writeHead(404).end('<html>')))).rejects.toThrow(
      /HTTP 404 without JSON/,
    );
  });

  it('refuses names that resolve into our own machine, and its addresses, outside of tests', async () => {
    await expect(getPublicJson(new URL('https://localhost:1/'))).rejects.toThrow(
      /not on the public internet/,
    );
    await expect(getPublicJson(new URL('https://127.0.0.1:1/'))).rejects.toThrow(
      /not on the public internet/,
    );
    await expect(getPublicJson(new URL('http://127.0.0.1:1/'))).rejects.toThrow(/not reached by https/);
    // What the URL parser makes of odd spellings is judged, not the spelling.
    await expect(getPublicJson(new URL('https://0x7f.1:1/'))).rejects.toThrow(/not on the public internet/);
  });

  it('knows public addresses from all others', () => {
    for (const address of ['1.1.1.1', '8.8.8.8', '172.32.0.1', '2606:4700:4700::1111', '2a01:4f8::1']) {
      expect(isPublicAddress(address), address).toBe(true);
    }
    for (const address of [
      '127.0.0.1',
      '10.255.0.1',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.0.1',
      '169.254.169.254',
      '100.64.0.1',
      '0.0.0.0',
      '224.0.0.1',
      '255.255.255.255',
      '198.18.0.1',
      '::',
      '::1',
      'fe80::1',
      'fc00::1',
      '::ffff:8.8.8.8',
      '::ffff:127.0.0.1',
      '64:ff9b::7f00:1',
      '2002:7f00:1::',
      '2001:db8::1',
      '2001::1',
      'ff02::1',
      'x',
    ]) {
      expect(isPublicAddress(address), address).toBe(false);
    }
  });
});
