// Reads the answer to a submit from its bytes, whatever order of keys and spaces the pool writes:
//   {"id":123456789,"result":true,"error":null}
//   {"result": null, "error": [21, "Job not found", null], "id": 123456789}
// A JSON parser would cost the client more than the pool spends on the whole share.

/** What the line said; one object is used for all lines. */
export class Reply {
  id = -1;
  accepted = false;
}

const LINE_FEED = 0x0a;
const QUOTE = 0x22;
const COLON = 0x3a;
const SPACE = 0x20;
const ZERO = 0x30;
const NINE = 0x39;
const N = 0x6e;
const T = 0x74;

/**
 * Reads the line that starts at `from`; bytes from `end` on are not looked at.
 * @returns position behind its line feed; -1 when it is no answer with a number as id, or not complete
 */
export function scanReply(bytes: Uint8Array, from: number, end: number, reply: Reply): number {
  let id = -1;
  let result = 0; // 1 accepted, -1 refused
  for (let at = from; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte === LINE_FEED) {
      if (id < 0 || result === 0) return -1;
      reply.id = id;
      reply.accepted = result > 0;
      return at + 1;
    }
    if (byte !== QUOTE) continue;
    switch (bytes[at + 1]) {
      case 0x69: // "id"
        if (id >= 0 || bytes[at + 2] !== 0x64 || bytes[at + 3] !== QUOTE) break;
        at = valueAt(bytes, at + 4, end);
        for (; at < end; at++) {
          const digit = bytes[at] as number;
          if (digit < ZERO || digit > NINE) break;
          id = Math.max(id, 0) * 10 + digit - ZERO;
        }
        at--;
        break;
      case 0x72: // "result"
        if (result !== 0 || bytes[at + 7] !== QUOTE) break;
        at = valueAt(bytes, at + 8, end);
        result = bytes[at] === T ? 1 : -1;
        break;
      case 0x65: // "error"
        if (bytes[at + 6] !== QUOTE) break;
        at = valueAt(bytes, at + 7, end);
        if (bytes[at] !== N) result = -1;
        break;
      case 0x6d: // "method"
        if (bytes[at + 7] === QUOTE) return -1;
        break;
      default:
    }
  }
  return -1;
}

function valueAt(bytes: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && (bytes[at] === COLON || bytes[at] === SPACE)) at++;
  return at;
}
