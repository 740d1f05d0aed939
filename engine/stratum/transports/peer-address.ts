// One spelling for each address, so that limits and bans know a peer again whatever carried it.
import { isIPv6, SocketAddress } from 'node:net';

const MAPPED = '::ffff:';

/**
 * @param address IPv4 or IPv6 text in any spelling
 * @returns IPv4 in dotted form, also where it was mapped into IPv6 (`::ffff:192.0.2.1`); IPv6 in the short form of
 *   RFC 5952; anything else as it came
 */
export function canonicalAddress(address: string): string {
  if (!address.includes(':')) return address;
  // A zone (`fe80::1%eth0`) is no part of the address and SocketAddress refuses it.
  const short = isIPv6(address) && !address.includes('%') ? shortIPv6(address) : address;
  return short.startsWith(MAPPED) && short.includes('.') ? short.slice(MAPPED.length) : short;
}

function shortIPv6(address: string): string {
  return new SocketAddress({ address, family: 'ipv6' }).address;
}
