// IP addresses in text form to the 16 bytes of a ClickHouse IPv6 column; IPv4 is mapped (RFC 4291 2.5.5.2).
import { isIPv4, isIPv6 } from 'node:net';

/** 16 bytes in network order. Text that is no address gives `::`, the unspecified address. Never throws. */
export function ipv6Bytes(text: string): Buffer {
  const bytes = Buffer.alloc(16);
  const address = text.split('%')[0] ?? '';
  if (isIPv4(address)) {
    bytes.writeUInt16BE(0xffff, 10);
    writeIPv4(bytes, address);
    return bytes;
  }
  if (!isIPv6(address)) return bytes;
  let groups = address;
  const dotted = /[^:]+\.[^:]+$/.exec(address)?.[0];
  if (dotted !== undefined) {
    writeIPv4(bytes, dotted);
    groups = `${address.slice(0, -dotted.length)}${bytes.toString('hex', 12, 14)}:${bytes.toString('hex', 14, 16)}`;
  }
  const [head = '', tail] = groups.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  for (const [index, group] of front.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2);
  for (const [index, group] of back.entries()) {
    bytes.writeUInt16BE(Number.parseInt(group, 16), 16 - (back.length - index) * 2);
  }
  return bytes;
}

function writeIPv4(bytes: Buffer, dotted: string): void {
  for (const [index, part] of dotted.split('.').entries()) bytes[12 + index] = Number(part);
}
