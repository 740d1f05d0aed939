// A reply of any size: as much of it is read as the client takes, so memory holds one chunk a client. uWebSockets.js
// buffers whatever it is given, without bound; so nothing is given to it while it says that it holds some back.
import type { Readable } from 'node:stream';
import type { UwsResponse } from '../uws.js';

export interface StreamReply {
  readonly status: number;
  readonly contentType: string;
  readonly cacheControl: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Destroyed when the client goes away or stands still. */
  readonly stream: Readable;
}

/**
 * Sends `stream` as the body. Resolves when it is sent, or the client went away; rejects with the stream's error,
 * after cutting the connection, so that nobody takes a part for the whole.
 * @param start writes status and headers; called when the first byte is there
 * @param signal aborted when the client went away; `res` must not be touched from then on
 */
export async function sendStream(
  res: UwsResponse,
  stream: Readable,
  start: () => void,
  signal: AbortSignal,
): Promise<void> {
  let wake = (): void => {};
  const leave = (): void => {
    stream.destroy();
    wake();
  };
  signal.addEventListener('abort', leave, { once: true });
  res.onWritable(() => {
    wake();
    return true;
  });
  let started = false;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (signal.aborted) return;
      let taken = true;
      res.cork(() => {
        if (!started) start();
        started = true;
        taken = res.write(chunk);
      });
      if (taken) continue;
      // A client that takes nothing for 10 s is cut by the library, also one that is gone without a word.
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    if (signal.aborted) return;
    res.cork(() => {
      if (!started) start();
      res.end('');
    });
  } catch (error) {
    if (signal.aborted) return;
    res.close();
    throw error;
  } finally {
    signal.removeEventListener('abort', leave);
    stream.destroy();
  }
}
