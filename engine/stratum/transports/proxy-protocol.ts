// PROXY protocol, versions 1 (text) and 2 (binary): the header with which a load balancer says whom it speaks for.
// Specification: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, sections 2.1 and 2.2.
//
// version 2:
//   0            12        13       14        16                            16 + length
//   | signature  | ver cmd | family | length  | addresses, ports, then TLVs |
//
// Pure. From whom a header is believed at all is decided by BalancerList.
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';
import { canonicalAddress } from './peer-address.js';

/** With its line end; section 2.1. */
export const PROXY_V1_MAX_BYTES = 107;
/** Our bound for addresses and TLVs of version 2; the field could hold 65,535. */
export const PROXY_V2_MAX_LENGTH = 4096;

export type ProxyHeader =
  | { readonly state: 'need_more' }
  /** `remote` null: the balancer speaks for itself (a health check) or does not know; the socket's address stands. */
  | { readonly state: 'done'; readonly remote: string | null; readonly headerBytes: number }
  | { readonly state: 'bad'; readonly reason: string };

const V1_PREFIX = Buffer.from('PROXY ', 'latin1');
const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const V2_FIXED_BYTES = 16;
const NEED_MORE: ProxyHeader = { state: 'need_more' };

/** @param bytes all that came so far; what follows the header may be in it and is left alone */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (begins(bytes, V2_SIGNATURE)) return bytes.length < V2_FIXED_BYTES ? NEED_MORE : parseV2(bytes);
  if (begins(bytes, V1_PREFIX)) return parseV1(bytes);
  return bad('no PROXY header');
}

/** True too when `bytes` is still too short to tell. */
function begins(bytes: Buffer, with_: Buffer): boolean {
  const length = Math.min(bytes.length, with_.length);
  return bytes.compare(with_, 0, length, 0, length) === 0;
}

function parseV1(bytes: Buffer): ProxyHeader {
  const lineFeed = bytes.subarray(0, PROXY_V1_MAX_BYTES).indexOf(0x0a);
  if (lineFeed < 0) {
    return bytes.length < PROXY_V1_MAX_BYTES ? NEED_MORE : bad('version 1 header longer than 107 bytes');
  }
  const headerBytes = lineFeed + 1;
  if (bytes[lineFeed - 1] !== 0x0d) return bad('version 1 header does not end in CR LF');
  const fields = bytes.toString('latin1', 0, lineFeed - 1).split(' ');
  const [, family, source = '', destination = '', sourcePort = '', destinationPort = ''] = fields;
  // Whatever follows UNKNOWN is to be ignored.
  if (family === 'UNKNOWN') return { state: 'done', remote: null, headerBytes };
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isPlainIPv6 : null;
  if (isAddress === null) return bad('version 1 header of a family that is not TCP4, TCP6 or UNKNOWN');
  const wellFormed =
    fields.length === 6 &&
    isAddress(source) &&
    isAddress(destination) &&
    isPort(sourcePort) &&
    isPort(destinationPort);
  if (!wellFormed) return bad('version 1 header with a malformed address or port');
  return { state: 'done', remote: canonicalAddress(source), headerBytes };
}

function isPlainIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes('%');
}

function isPort(text: string): boolean {
  return /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;
}

function parseV2(bytes: Buffer): ProxyHeader {
  const versionAndCommand = bytes.readUInt8(12);
  const family = bytes.readUInt8(13);
  const length = bytes.readUInt16BE(14);
  const command = versionAndCommand & 0x0f;
  if (versionAndCommand >> 4 !== 2) return bad('version 2 signature with another version');
  if (command > 1) return bad('version 2 command that is neither LOCAL nor PROXY');
  if (length > PROXY_V2_MAX_LENGTH) return bad(`version 2 header longer than ${PROXY_V2_MAX_LENGTH} bytes`);
  const headerBytes = V2_FIXED_BYTES + length;
  // LOCAL: the addresses are to be ignored, whatever their family.
  const spoken = command === 0 ? 0 : family;
  if (spoken !== 0x00 && spoken !== 0x11 && spoken !== 0x21) {
    return bad('version 2 header of a family that is not TCP over IPv4 or IPv6');
  }
  if (length < (spoken === 0x11 ? 12 : spoken === 0x21 ? 36 : 0)) {
    return bad('version 2 header shorter than its addresses');
  }
  if (bytes.length < headerBytes) return NEED_MORE;
  const remote =
    spoken === 0x11
      ? bytes.subarray(16, 20).join('.')
      : spoken === 0x21
        ? ipv6Text(bytes.subarray(16, 32))
        : null;
  return { state: 'done', remote, headerBytes };
}

function ipv6Text(address: Buffer): string {
  const groups: string[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(address.readUInt16BE(at).toString(16));
  return canonicalAddress(groups.join(':'));
}

function bad(reason: string): ProxyHeader {
  return { state: 'bad', reason };
}

/** The balancers whose PROXY header is believed. */
export class BalancerList {
  /** The same for others who ask about addresses. */
  readonly list = new BlockList();

  /**
   * @param allow addresses and networks, IPv4 or IPv6: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`
   * @throws Error that names the entry that is neither
   */
  constructor(allow: readonly string[]) {
    for (const entry of allow) this.#add(entry);
  }

  #add(entry: string): void {
    const [address = '', prefix, ...rest] = entry.split('/');
    const version = isIP(address);
    const bits = version === 4 ? 32 : 128;
    const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
    if (version === 0 || address.includes('%') || rest.length > 0 || !(length <= bits)) {
      throw new Error(
        `${JSON.stringify(entry)} is no address and no network: write 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32.`,
      );
    }
    this.list.addSubnet(address, length, version === 4 ? 'ipv4' : 'ipv6');
  }

  /** @param address canonical (see canonicalAddress) */
  includes(address: string): boolean {
    const version = isIP(address);
    return version !== 0 && this.list.check(address, version === 4 ? 'ipv4' : 'ipv6');
  }
}
