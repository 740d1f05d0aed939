// A TCP port on 127.0.0.1 for a server that Millrace brings up itself.
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

// Below the ephemeral range: a port there can be taken by any outgoing connection between test and bind.
const PORT_MIN = 18_000;
const PORT_MAX = 32_000;
const ATTEMPTS_MAX = 50;

/** True when nothing listens on that port of 127.0.0.1 at this moment. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

/**
 * The preferred port, or the next free one above it; without preference any free one between 18000 and
 * 32000. Another program may still take it before it is bound: the caller tries again then.
 */
export async function findFreePort(preferred?: number): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const port = preferred === undefined ? randomInt(PORT_MIN, PORT_MAX) : preferred + attempt;
    if (port > 65_535) break;
    if (await isPortFree(port)) return port;
  }
  throw new Error(
    `No free port on 127.0.0.1${preferred === undefined ? '' : ` from ${preferred} on`}: ` +
      'something holds them all. Choose another port in the settings',
  );
}
