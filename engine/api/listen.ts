// Finds a port for the API: the one asked for, or the next free one, and says why when there is none.
import { createServer } from 'node:net';
import type { Uws, UwsApp, UwsListenSocket } from '../uws.js';

const PORT_MAX = 65_535;

/**
 * Listens on `port`, or on the next of `tried` ports that is free. Port 0: any free one.
 * @throws Error for the operator when none can be had
 */
export async function listenOnFreePort(
  uws: Uws,
  app: UwsApp,
  host: string,
  port: number,
  tried: number,
): Promise<{ socket: UwsListenSocket; port: number }> {
  const last = port === 0 ? 0 : Math.min(port + tried - 1, PORT_MAX);
  for (let candidate = port; candidate <= last; candidate++) {
    const socket = listen(uws, app, host, candidate);
    if (socket !== false) return { socket, port: uws.us_socket_local_port(socket) };
    // uWebSockets.js does not say why. Only a busy port is worth another try.
    const reason = await refusal(host, candidate);
    if (reason === 'EACCES') {
      throw new Error(
        `The API may not listen on ${host}:${candidate}: ports below 1024 are for root. Set API_PORT to a higher one.`,
      );
    }
    if (reason !== null && reason !== 'EADDRINUSE') {
      throw new Error(
        `The API cannot listen on ${host} (${reason}): it is no address of this machine. Correct API_HOST.`,
      );
    }
  }
  throw new Error(
    `The API found no free port on ${host} from ${port} to ${last}. Set API_PORT to a free one.`,
  );
}

function listen(uws: Uws, app: UwsApp, host: string, port: number): UwsListenSocket | false {
  let result: UwsListenSocket | false = false;
  app.listen(host, port, uws.LIBUS_LISTEN_EXCLUSIVE_PORT, (socket) => {
    result = socket;
  });
  return result;
}

/** Error code that the operating system gives for this address; null when it has become free. */
function refusal(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(null)));
  });
}
