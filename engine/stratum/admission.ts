// Who may connect: counts connections in all, by address and by net, and apart from them those that have
// not authorized yet, so that no single place can take every slot. Asked once for each connection, before a
// session is made; pure counting, memory grows only with open connections.
//
// One address is what one holder surely has: an IPv4 address, or an IPv6 /64 (RFC 4291: a host picks any of
// its 2^64 addresses). A net is what one customer can usually get: /24, or /56 (RFC 6177).
import { isIPv4, isIPv6 } from 'node:net';

/** Where a connection comes from. */
export interface Source {
  /** Without zone; IPv4 in IPv6 is plain IPv4. As given where it is no address. */
  readonly address: string;
  readonly family: 'ipv4' | 'ipv6' | 'unknown';
  /** The address, or its /64 (`2001:db8:0:1::/64`); one and the same for all that is no address. */
  readonly holder: string;
  /** The /24 or /56 as text; one and the same for all that is no address. */
  readonly net: string;
  readonly loopback: boolean;
}

/** Caps on connections at once; null: no cap. */
export interface AdmissionCaps {
  readonly total: number | null;
  readonly perAddress: number | null;
  readonly perNet: number | null;
  /** Of those that have not authorized yet. */
  readonly pendingPerAddress: number | null;
  readonly pendingPerNet: number | null;
}

export type AdmissionRefusal =
  | 'full'
  | 'address_full'
  | 'net_full'
  | 'address_pending_full'
  | 'net_pending_full';

export type Admitted =
  | { readonly ok: true; readonly ticket: Ticket }
  | { readonly ok: false; readonly reason: AdmissionRefusal };

const SMALLEST_CAP = 64;

/**
 * Caps that follow from `maxConnections` alone.
 * - One address: half. A farm of thousands, or a container's network, is one address; but it must not be
 *   able to shut out everybody else, and authorizing costs nothing.
 * - One net: three quarters. Two addresses side by side must not fill the pool either.
 * - Not authorized yet: an eighth and a quarter. After a restart a farm comes back at once: 20,000 slots
 *   give it 2,500 at a time, and a connection is through in well under a second. Who only holds slots
 *   open loses them at the deadlines (15 s, 30 s).
 * - Never below 64: a home or a test bench is one address.
 */
export function defaultCaps(maxConnections: number): AdmissionCaps {
  const part = (share: number): number => Math.max(SMALLEST_CAP, Math.floor(maxConnections * share));
  return {
    total: maxConnections,
    perAddress: part(1 / 2),
    perNet: part(3 / 4),
    pendingPerAddress: part(1 / 8),
    pendingPerNet: part(1 / 4),
  };
}

export class Admission {
  readonly #caps: AdmissionCaps;
  readonly #holders = new Map<string, Count>();
  readonly #nets = new Map<string, Count>();
  readonly #all = new Count('');

  constructor(caps: AdmissionCaps) {
    this.#caps = caps;
  }

  /** Open connections. */
  get connections(): number {
    return this.#all.connections;
  }

  /** Open connections that have not authorized yet. */
  get pending(): number {
    return this.#all.pending;
  }

  /** Addresses and nets remembered, loopback aside. */
  get remembered(): number {
    return this.#holders.size + this.#nets.size;
  }

  /**
   * Takes a slot, or says which cap is reached. Loopback (load tests, a proxy on this machine) is held by
   * the total alone.
   * @param remote the miner's address as text; behind a balancer the one of the PROXY header. Whatever is
   *   no address counts as one and the same place.
   */
  admit(remote: string): Admitted {
    const caps = this.#caps;
    if (reached(this.#all.connections, caps.total)) return refused('full');
    const source = sourceOf(remote);
    if (source.loopback) return { ok: true, ticket: new Ticket(this, this.#all, null, null) };
    const holder = this.#holders.get(source.holder);
    const net = this.#nets.get(source.net);
    if (reached(holder?.connections, caps.perAddress)) return refused('address_full');
    if (reached(net?.connections, caps.perNet)) return refused('net_full');
    if (reached(holder?.pending, caps.pendingPerAddress)) return refused('address_pending_full');
    if (reached(net?.pending, caps.pendingPerNet)) return refused('net_pending_full');
    const ticket = new Ticket(
      this,
      this.#all,
      holder ?? remember(this.#holders, source.holder),
      net ?? remember(this.#nets, source.net),
    );
    return { ok: true, ticket };
  }

  /** For tickets: drops what nobody is connected from any more. */
  forget(holder: Count, net: Count): void {
    if (holder.connections === 0) this.#holders.delete(holder.key);
    if (net.connections === 0) this.#nets.delete(net.key);
  }
}

/** The slot of one connection. */
export class Ticket {
  readonly #admission: Admission;
  readonly #all: Count;
  readonly #holder: Count | null;
  readonly #net: Count | null;
  #state: 'pending' | 'authorized' | 'released' = 'pending';

  constructor(admission: Admission, all: Count, holder: Count | null, net: Count | null) {
    this.#admission = admission;
    this.#all = all;
    this.#holder = holder;
    this.#net = net;
    all.take();
    holder?.take();
    net?.take();
  }

  /**
   * Other authorized connections of the same address. A ban would hit them too: a farm behind one address
   * must not lose its machines for a broken one among them. 0 for loopback.
   */
  get neighbours(): number {
    if (this.#holder === null) return 0;
    const own = this.#state === 'authorized' ? 1 : 0;
    return this.#holder.connections - this.#holder.pending - own;
  }

  /** Frees the slot among those not authorized yet. Further calls do nothing. */
  authorized(): void {
    if (this.#state !== 'pending') return;
    this.#state = 'authorized';
    this.#all.pending--;
    if (this.#holder !== null) this.#holder.pending--;
    if (this.#net !== null) this.#net.pending--;
  }

  /** Gives the slot back. Further calls do nothing. */
  release(): void {
    if (this.#state === 'released') return;
    this.authorized();
    this.#state = 'released';
    this.#all.connections--;
    if (this.#holder === null || this.#net === null) return;
    this.#holder.connections--;
    this.#net.connections--;
    this.#admission.forget(this.#holder, this.#net);
  }
}

/** Connections of one place. */
class Count {
  readonly key: string;
  connections = 0;
  pending = 0;

  constructor(key: string) {
    this.key = key;
  }

  take(): void {
    this.connections++;
    this.pending++;
  }
}

function remember(counts: Map<string, Count>, key: string): Count {
  const count = new Count(key);
  counts.set(key, count);
  return count;
}

function reached(count: number | undefined, cap: number | null): boolean {
  return cap !== null && (count ?? 0) >= cap;
}

function refused(reason: AdmissionRefusal): Admitted {
  return { ok: false, reason };
}

/** Reads the address of a peer. Never throws: text that is no address is of family `unknown`. */
export function sourceOf(remote: string): Source {
  if (isIPv4(remote)) return ipv4Source(remote);
  const zone = remote.indexOf('%');
  const address = zone < 0 ? remote : remote.slice(0, zone);
  if (!isIPv6(address)) {
    return { address: remote, family: 'unknown', holder: 'unknown', net: 'unknown', loopback: false };
  }
  const groups = groupsOf(address);
  const [a = 0, b = 0, c = 0, d = 0, , mapped, high = 0, low = 0] = groups;
  const startsWithZeros = (count: number): boolean => groups.slice(0, count).every((group) => group === 0);
  if (mapped === 0xffff && startsWithZeros(5)) {
    return ipv4Source(`${high >>> 8}.${high & 0xff}.${low >>> 8}.${low & 0xff}`);
  }
  const prefix = `${a.toString(16)}:${b.toString(16)}:${c.toString(16)}`;
  return {
    address,
    family: 'ipv6',
    holder: `${prefix}:${d.toString(16)}::/64`,
    net: `${prefix}:${(d & 0xff00).toString(16)}::/56`,
    loopback: startsWithZeros(7) && low === 1,
  };
}

function ipv4Source(address: string): Source {
  return {
    address,
    family: 'ipv4',
    holder: address,
    net: `${address.slice(0, address.lastIndexOf('.'))}.0/24`,
    loopback: address.startsWith('127.'),
  };
}

/** The eight 16-bit groups of a valid IPv6 address without zone. */
function groupsOf(address: string): number[] {
  const [front = '', back] = address.split('::');
  const head = groupsOfPart(front);
  if (back === undefined) return head;
  const tail = groupsOfPart(back);
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

function groupsOfPart(part: string): number[] {
  if (part === '') return [];
  return part.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}
