// The frames of ZMTP 3.0 as a subscriber without encryption needs them (NULL mechanism), pure: bytes in, frames
// out. Used by zmq-hint.ts. https://rfc.zeromq.org/spec/23/
//
//   greeting, 64 bytes   | ff 0*8 7f | version 3.0 | "NULL" padded to 20 | as-server | 0*31 |
//   frame                | flags | length: 1 byte, or 8 big-endian when flags & 2 | body |
//   flags                1: more frames of this message follow, 2: long length, 4: a command

export const GREETING_BYTES = 64;

/** Longest body taken; a hashblock message has 9, 32 and 4 bytes. */
export const FRAME_BYTES_MAX = 4096;

const MORE = 1;
const LONG = 2;
const COMMAND = 4;
const MECHANISM_AT = 12;

export interface Frame {
  readonly isCommand: boolean;
  /** Another frame of the same message follows. */
  readonly hasMore: boolean;
  readonly body: Buffer;
}

/** The peer does not speak what we speak; the connection is of no use. */
export class ZmtpError extends Error {
  override readonly name = 'ZmtpError';
}

/** Our side of the greeting. */
export function greeting(): Buffer {
  const bytes = Buffer.alloc(GREETING_BYTES);
  bytes[0] = 0xff;
  bytes[9] = 0x7f;
  bytes[10] = 3;
  bytes.write('NULL', MECHANISM_AT, 'latin1');
  return bytes;
}

/** One frame with a body of at most `FRAME_BYTES_MAX`. */
export function encodeFrame({ isCommand, hasMore, body }: Frame): Buffer {
  if (body.length > FRAME_BYTES_MAX) throw new RangeError(`a frame of ${body.length} bytes`);
  const flags = (isCommand ? COMMAND : 0) | (hasMore ? MORE : 0);
  if (body.length <= 0xff) return Buffer.concat([Buffer.of(flags, body.length), body]);
  const head = Buffer.alloc(9);
  head[0] = flags | LONG;
  head.writeBigUInt64BE(BigInt(body.length), 1);
  return Buffer.concat([head, body]);
}

/** The READY command of a subscriber: our answer to the peer's greeting. */
export function subscriberReady(): Buffer {
  const type = 'Socket-Type';
  const body = Buffer.concat([
    Buffer.of(5),
    Buffer.from('READY'),
    Buffer.of(type.length),
    Buffer.from(type),
    Buffer.of(0, 0, 0, 3),
    Buffer.from('SUB'),
  ]);
  return encodeFrame({ isCommand: true, hasMore: false, body });
}

/** The message that subscribes to `topic`: our answer to the peer's READY. */
export function subscription(topic: string): Buffer {
  const body = Buffer.concat([Buffer.of(1), Buffer.from(topic, 'latin1')]);
  return encodeFrame({ isCommand: false, hasMore: false, body });
}

/** Cuts the peer's bytes, however they arrive, into its greeting and frames. Holds at most one frame. */
export class FrameReader {
  #held: Buffer = Buffer.alloc(0);
  #greeted = false;

  /** The peer's greeting has come and is one we can talk to. */
  get isGreeted(): boolean {
    return this.#greeted;
  }

  /**
   * The frames that `chunk` completes. Throws ZmtpError for another protocol, version or mechanism, and for a
   * frame longer than `FRAME_BYTES_MAX`; the reader cannot be used afterwards.
   */
  read(chunk: Buffer): Frame[] {
    let rest: Buffer = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const frames: Frame[] = [];
    if (!this.#greeted && rest.length >= GREETING_BYTES) {
      checkGreeting(rest);
      this.#greeted = true;
      rest = rest.subarray(GREETING_BYTES);
    }
    while (this.#greeted && rest.length >= 2) {
      const flags = rest[0] as number;
      if ((flags & ~(MORE | LONG | COMMAND)) !== 0) throw new ZmtpError(`frame flags ${flags}`);
      const headBytes = (flags & LONG) === 0 ? 2 : 9;
      if (rest.length < headBytes) break;
      const bodyBytes = headBytes === 2 ? (rest[1] as number) : Number(rest.readBigUInt64BE(1));
      if (bodyBytes > FRAME_BYTES_MAX) throw new ZmtpError(`a frame of ${bodyBytes} bytes`);
      if (rest.length < headBytes + bodyBytes) break;
      frames.push({
        isCommand: (flags & COMMAND) !== 0,
        hasMore: (flags & MORE) !== 0,
        body: Buffer.from(rest.subarray(headBytes, headBytes + bodyBytes)),
      });
      rest = rest.subarray(headBytes + bodyBytes);
    }
    this.#held = Buffer.from(rest);
    return frames;
  }
}

function checkGreeting(bytes: Buffer): void {
  if (bytes[0] !== 0xff || bytes[9] !== 0x7f) throw new ZmtpError('not a ZMTP greeting');
  if ((bytes[10] as number) < 3) throw new ZmtpError(`ZMTP version ${bytes[10]}`);
  const mechanism = bytes.toString('latin1', MECHANISM_AT, MECHANISM_AT + 20).replace(/\0+$/, '');
  if (mechanism !== 'NULL') throw new ZmtpError(`mechanism ${mechanism}`);
}
