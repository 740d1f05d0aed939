// GET of a JSON document from a stranger's server whose name a miner chose. It must not become a way into our
// own network: https only, names that resolve to a public address only (checked on the very address that is
// connected to, so a second DNS answer changes nothing), redirects checked anew, size and time bounded.
import { lookup } from 'node:dns';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';

/** Why a document was not read; the message is for the operator and the miner. */
export class PublicGetError extends Error {
  override readonly name = 'PublicGetError';
}

export interface PublicGetOptions {
  /** For tests: http and addresses of this machine are allowed, other private ones are not. */
  allowLoopback?: boolean;
  /** Milliseconds for the whole exchange, redirects included. Default 10,000. */
  timeoutMs?: number;
  /** Default 512 KiB: two images of 100 KB in base64 and some text (LUD-06). */
  bytesMax?: number;
}

const TIMEOUT_MS = 10_000;
const BYTES_MAX = 512 * 1024;
const REDIRECTS_MAX = 3;

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** IPv4 that is not the public internet (IANA special-purpose registry). */
const NOT_PUBLIC_V4 = new BlockList();
for (const [net, bits] of [
  ...([
    ['0.0.0.0', 8],
    ['10.0.0.0', 8],
    ['100.64.0.0', 10],
    ['127.0.0.0', 8],
  ] as const),
  ...([
    ['169.254.0.0', 16],
    ['172.16.0.0', 12],
    ['192.0.0.0', 24],
    ['192.0.2.0', 24],
  ] as const),
  ...([
    ['192.88.99.0', 24],
    ['192.168.0.0', 16],
    ['198.18.0.0', 15],
  ] as const),
  ...([
    ['198.51.100.0', 24],
    ['203.0.113.0', 24],
    ['224.0.0.0', 4],
    ['240.0.0.0', 4],
  ] as const),
] as const) {
  NOT_PUBLIC_V4.addSubnet(net, bits, 'ipv4');
}
/** IPv6: only global unicast is public, less what carries an IPv4 address inside or is documentation. */
const GLOBAL_V6 = new BlockList();
GLOBAL_V6.addSubnet('2000::', 3, 'ipv6');
const NOT_PUBLIC_V6 = new BlockList();
for (const [net, bits] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const) {
  NOT_PUBLIC_V6.addSubnet(net, bits, 'ipv6');
}

/** True when `address` (IPv4 or IPv6 text) is on the public internet. */
export function isPublicAddress(address: string): boolean {
  if (isIP(address) === 4) return !NOT_PUBLIC_V4.check(address, 'ipv4');
  if (isIP(address) !== 6) return false;
  return GLOBAL_V6.check(address, 'ipv6') && !NOT_PUBLIC_V6.check(address, 'ipv6');
}

/** The parsed document. Throws PublicGetError with the reason. */
export async function getPublicJson(url: URL, options: PublicGetOptions = {}): Promise<unknown> {
  const deadline = performance.now() + (options.timeoutMs ?? TIMEOUT_MS);
  let at = url;
  for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
    checkUrl(at, options.allowLoopback === true);
    const { status, location, text } = await getOnce(at, deadline, options);
    if (status < 300 || status > 399 || location === undefined) return parse(at, status, text);
    if (!URL.canParse(location, at.href)) throw new PublicGetError(`${at.host} redirects to no address`);
    at = new URL(location, at);
  }
  throw new PublicGetError(`${url.host} redirects more than ${REDIRECTS_MAX} times`);
}

function parse(url: URL, status: number, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new PublicGetError(`${url.host} answered HTTP ${status} without JSON`);
  }
}

function checkUrl(url: URL, allowLoopback: boolean): void {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const loopback = allowLoopback && isLoopback(host);
  if (url.protocol !== 'https:' && !(loopback && url.protocol === 'http:')) {
    throw new PublicGetError(`${url.host} is not reached by https`);
  }
  if (url.username !== '' || url.password !== '') throw new PublicGetError(`${url.host} asks for a login`);
  // A name is judged when it is resolved, an address is never resolved.
  if (isIP(host) !== 0 && !loopback && !isPublicAddress(host)) throw notPublic(host);
}

function isLoopback(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && LOOPBACK.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

function notPublic(host: string): PublicGetError {
  return new PublicGetError(`${host} is not on the public internet, so it is not asked`);
}

function getOnce(
  url: URL,
  deadline: number,
  { allowLoopback = false, bytesMax = BYTES_MAX }: PublicGetOptions,
): Promise<{ status: number; location: string | undefined; text: string }> {
  const publicLookup: LookupFunction = (hostname, options, done) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return done(error, '', 0);
      const bad = addresses.some(
        ({ address }) => !isPublicAddress(address) && !(allowLoopback && isLoopback(address)),
      );
      const [first] = addresses;
      if (bad || first === undefined) return done(notPublic(hostname), '', 0);
      if (options.all) return done(null, addresses);
      return done(null, first.address, first.family);
    });
  };
  return new Promise((resolve, reject) => {
    const fail = (reason: string) => reject(new PublicGetError(`${url.host} ${reason}`));
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const outgoing = send(
      url,
      { method: 'GET', agent: false, lookup: publicLookup, headers: { accept: 'application/json' } },
      (answer) => {
        const pieces: Buffer[] = [];
        let bytes = 0;
        answer.on('data', (piece: Buffer) => {
          bytes += piece.length;
          if (bytes <= bytesMax) {
            pieces.push(piece);
            return;
          }
          fail(`sent more than ${bytesMax} bytes`);
          outgoing.destroy();
        });
        answer.on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            location: answer.headers.location,
            text: Buffer.concat(pieces).toString('utf8'),
          }),
        );
        answer.on('error', () => fail('broke off its answer'));
      },
    );
    const timer = setTimeout(
      () => {
        fail('did not answer in time');
        outgoing.destroy();
      },
      Math.max(1, deadline - performance.now()),
    );
    outgoing.on('close', () => clearTimeout(timer));
    outgoing.on('error', (error) =>
      error instanceof PublicGetError ? reject(error) : fail(`cannot be reached: ${error.message}`),
    );
    outgoing.end();
  });
}
