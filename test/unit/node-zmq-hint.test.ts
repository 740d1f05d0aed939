import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { hintAddress, ZmqHint } from '../../engine/node/zmq-hint.js';
import { encodeFrame, FRAME_BYTES_MAX, type Frame, FrameReader, greeting } from '../../engine/node/zmtp.js';
import { until } from './node-scripted-rpc.js';
import { greetingWith, ZmqPublisher } from './node-zmq-publisher.js';

const HASH = '00ff'.repeat(16);
const SEED = 20_261_121;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function subscribe(publisher = new ZmqPublisher()) {
  const port = await publisher.start();
  const hints: string[] = [];
  const losses: string[] = [];
  let connected = 0;
  const hint = new ZmqHint({
    host: '127.0.0.1',
    port,
    onHint: (hash) => hints.push(hash),
    onConnected: () => connected++,
    onLost: (reason) => losses.push(reason),
  });
  cleanups.push(
    () => publisher.stop(),
    () => hint.close(),
  );
  return { publisher, hint, hints, losses, port, connections: () => connected };
}

describe('the ZMQ hint', () => {
  it('subscribes to hashblock and tells each hash in display order', async () => {
    const { publisher, hints, connections } = await subscribe();
    await publisher.subscribed(1);
    publisher.publish('hashblock', HASH);
    publisher.publish('hashblock', '11'.repeat(32));
    await until(() => hints.length === 2);
    expect(publisher.topics).toEqual(['hashblock']);
    expect(hints).toEqual([HASH, '11'.repeat(32)]);
    expect(connections()).toBe(1);
  });

  it('passes over other topics and hashes of another length', async () => {
    const { publisher, hints } = await subscribe();
    await publisher.subscribed(1);
    publisher.publish('hashtx', HASH);
    publisher.publish('hashblock', 'abcd');
    publisher.publish('hashblock', HASH);
    await until(() => hints.length > 0);
    expect(hints).toEqual([HASH]);
  });

  it('subscribes again after the connection broke, and says so once for each loss', async () => {
    const { publisher, hints, losses } = await subscribe();
    await publisher.subscribed(1);
    publisher.cut();
    await publisher.subscribed(2);
    publisher.publish('hashblock', HASH);
    await until(() => hints.length === 1);
    expect(losses).toHaveLength(1);
  });

  it('is silent once closed, and does not come back', async () => {
    const { publisher, hint, hints, losses } = await subscribe();
    await publisher.subscribed(1);
    hint.close();
    publisher.publish('hashblock', HASH);
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect({ hints, losses, connections: publisher.connections }).toEqual({
      hints: [],
      losses: [],
      connections: 1,
    });
  });

  const endless = Buffer.concat([
    ...[greeting()],
    ...Array.from({ length: 9 }, () =>
      encodeFrame({ isCommand: false, hasMore: true, body: Buffer.from('x') }),
    ),
  ]);
  it.each<[string, Buffer, RegExp]>([
    ['a web server', Buffer.from(`HTTP/1.1 400 Bad Request\r\n\r\n${' '.repeat(64)}`), /not a ZMTP greeting/],
    ['ZMTP 2', greetingWith(10, 2), /ZMTP version 2/],
    ['a publisher that wants a password', greetingWith(12, 0x50), /mechanism PULL/],
    ['frames with unknown flags', Buffer.concat([greeting(), Buffer.of(0x40, 0)]), /frame flags 64/],
    [
      'a frame beyond every bound',
      Buffer.concat([greeting(), Buffer.of(2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)]),
      /a frame of 1844/,
    ],
    ['a message without end', endless, /too many frames/],
  ])('gives up a connection to %s and tries again later', async (_, opening, reason) => {
    const publisher = new ZmqPublisher(opening);
    const { losses, connections } = await subscribe(publisher);
    await until(() => publisher.connections === 2);
    expect(losses[0]).toMatch(reason);
    expect(connections()).toBe(0);
  });
});

describe('ZMTP frames', () => {
  const frame = fc.record({
    isCommand: fc.boolean(),
    hasMore: fc.boolean(),
    body: fc
      .oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ minLength: 250, maxLength: 700 }))
      .map((bytes) => Buffer.from(bytes)),
  });

  it('are read the same however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(frame, { maxLength: 6 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        (frames, cuts) => {
          const bytes = Buffer.concat([greeting(), ...frames.map(encodeFrame)]);
          const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
          const reader = new FrameReader();
          const read: Frame[] = [];
          for (let i = 1; i < at.length; i++) read.push(...reader.read(bytes.subarray(at[i - 1], at[i])));
          expect(read).toEqual(frames);
        },
      ),
      { seed: SEED, numRuns: 300 },
    );
  });

  it('never make a reader throw anything but a protocol error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const reader = new FrameReader();
        reader.read(greeting());
        try {
          reader.read(Buffer.from(bytes));
        } catch (error) {
          expect((error as Error).name).toBe('ZmtpError');
        }
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  it('longer than the bound are not made', () => {
    const frameOf = (bytes: number) =>
      encodeFrame({ isCommand: false, hasMore: false, body: Buffer.alloc(bytes) });
    expect(frameOf(FRAME_BYTES_MAX)).toHaveLength(FRAME_BYTES_MAX + 9);
    expect(() => frameOf(FRAME_BYTES_MAX + 1)).toThrow(RangeError);
  });
});

describe('the address of the hints', () => {
  it.each([
    ['tcp://127.0.0.1:28332', 'node.example', { host: 'node.example', port: 28332 }],
    ['tcp://0.0.0.0:28332', '10.0.0.7', { host: '10.0.0.7', port: 28332 }],
    ['tcp://*:28332', '10.0.0.7', { host: '10.0.0.7', port: 28332 }],
    ['tcp://[::]:28332', '::1', { host: '::1', port: 28332 }],
    ['tcp://192.168.1.5:28332', '10.0.0.7', { host: '192.168.1.5', port: 28332 }],
    ['tcp://[fd00::1]:28332', '10.0.0.7', { host: 'fd00::1', port: 28332 }],
    ['ipc:///run/bitcoind.sock', '127.0.0.1', undefined],
    ['tcp://127.0.0.1:0', '127.0.0.1', undefined],
    ['tcp://127.0.0.1:70000', '127.0.0.1', undefined],
    ['', '127.0.0.1', undefined],
  ])('%s of a node at %s is %j', (address, rpcHost, expected) => {
    expect(hintAddress(address, rpcHost)).toEqual(expected);
  });
});
