// The signer's door: HTTP on a Unix socket that only its owner may open, or on loopback with a bearer token. One request:
// POST /sign {"psbt", "network"}. Called by cli/signer.ts; the other side is signer-client.ts.

import { timingSafeEqual } from 'node:crypto';
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { sha256 } from '../bitcoin/hash.js';
import { PSBT_CHARS_MAX } from '../payouts/multisig-psbt.js';
import { SignerRefusal } from './policy.js';
import type { SignAnswer, SignRequest } from './psbt-signer.js';

export type SignerDoor =
  | { socketPath: string }
  /** `host` is a loopback address. `token`: at least 32 characters. */
  | { host: string; port: number; token: string };

const BODY_BYTES_MAX = PSBT_CHARS_MAX + 1024;
const CONNECTIONS_MAX = 8;
const REQUEST_MS_MAX = 30_000;
const PROBE_MS_MAX = 2000;
const TOKEN_CHARS_MIN = 32;
/** A signature takes milliseconds: who sends or reads longer than this is not waited for. */
const STOP_MS_MAX = 1000;

export interface RunningSigner {
  /** Path, or host:port. */
  at: string;
  /** Answers what was asked, then resolves; the socket file is gone. */
  stop(): Promise<void>;
}

/** Starts to listen. Throws Error with cause and cure: socket in use, path taken, port taken, not loopback. */
export async function serveSigner(
  door: SignerDoor,
  sign: (request: SignRequest) => SignAnswer,
): Promise<RunningSigner> {
  const token = 'token' in door ? door.token : null;
  if (token !== null && token.length < TOKEN_CHARS_MIN) {
    throw new Error(
      `The bearer token is shorter than ${TOKEN_CHARS_MIN} characters: make one with openssl rand -hex 32`,
    );
  }
  const server = createServer({ requestTimeout: REQUEST_MS_MAX }, (request, response) => {
    answer(request, response, token, sign).catch(() => request.destroy());
  });
  server.maxConnections = CONNECTIONS_MAX;
  const at =
    'socketPath' in door ? await listenOnSocket(server, door.socketPath) : await listenOnPort(server, door);
  return {
    at,
    stop: () =>
      new Promise((resolve) => {
        const timer = setTimeout(() => server.closeAllConnections(), STOP_MS_MAX);
        server.close(() => {
          clearTimeout(timer);
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  token: string | null,
  sign: (request: SignRequest) => SignAnswer,
): Promise<void> {
  const reply = (status: number, body: object) => {
    response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
    response.end(JSON.stringify(body));
  };
  if (token !== null && !isToken(request.headers.authorization, token)) {
    return reply(401, { error: 'unauthorized', message: 'the bearer token is missing or wrong' });
  }
  if (request.url !== '/sign' || request.method !== 'POST') {
    return reply(404, { error: 'unknown_request', message: 'the signer knows POST /sign only' });
  }
  const body = await bodyOf(request);
  if (body === null) return reply(413, { error: 'too_large', message: `at most ${BODY_BYTES_MAX} bytes` });
  const asked = readRequest(body);
  if (asked === null) {
    return reply(400, {
      error: 'bad_request',
      message: 'the body must be {"psbt": base64, "network": name}',
    });
  }
  try {
    reply(200, sign(asked));
  } catch (error) {
    if (error instanceof SignerRefusal) reply(403, { error: error.code, message: error.message });
    else reply(500, { error: 'failed', message: (error as Error).message });
  }
}

/** Null when it is longer than allowed. */
async function bodyOf(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += (chunk as Buffer).length;
    if (bytes > BODY_BYTES_MAX) return null;
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function readRequest(body: string): SignRequest | null {
  try {
    const { psbt, network } = JSON.parse(body) as Record<string, unknown>;
    if (typeof psbt !== 'string' || typeof network !== 'string') return null;
    // Any other name is refused by the signer, which then logs it.
    return { psbt, network: network.slice(0, 32) as SignRequest['network'] };
  } catch {
    return null;
  }
}

/** Hashes are compared, so that neither time nor length tells anything. */
function isToken(header: string | undefined, token: string): boolean {
  const digest = (text: string) => sha256(new TextEncoder().encode(text));
  return timingSafeEqual(digest(header ?? ''), digest(`Bearer ${token}`));
}

async function listenOnSocket(server: Server, path: string): Promise<string> {
  await clearStaleSocket(path);
  // The socket is never open to others, not even for a moment.
  const umask = process.umask(0o177);
  try {
    await listening(server, () => server.listen({ path }), path);
  } finally {
    process.umask(umask);
  }
  chmodSync(path, 0o600);
  return path;
}

/** Removes what a killed signer left behind. Throws Error when somebody listens, or the path is something else. */
async function clearStaleSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new Error(`${path} exists and is no socket: choose another path for the signer`);
  if (await isAnswered(path)) {
    throw new Error(`${path} is in use: another signer listens there. Stop it, or choose another path`);
  }
  unlinkSync(path);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const done = (result: () => void) => {
      socket.destroy();
      result();
    };
    // A signer that is frozen still holds its socket.
    socket.setTimeout(PROBE_MS_MAX, () => done(() => resolve(true)));
    socket.once('connect', () => done(() => resolve(true)));
    socket.once('error', ({ code, message }: NodeJS.ErrnoException) =>
      done(() => {
        if (code === 'ECONNREFUSED' || code === 'ENOENT') resolve(false);
        else reject(new Error(`${path} cannot be used as a socket: ${message}`));
      }),
    );
  });
}

async function listenOnPort(server: Server, { host, port }: { host: string; port: number }): Promise<string> {
  if (host !== '127.0.0.1' && host !== '::1') {
    throw new Error(`The signer listens on 127.0.0.1 or ::1 only, not on ${host}`);
  }
  await listening(server, () => server.listen({ host, port }), `${host}:${port}`);
  const address = server.address();
  return `${host}:${typeof address === 'object' && address !== null ? address.port : port}`;
}

function listening(server: Server, listen: () => void, at: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('listening', resolve);
    server.once('error', ({ code, message }: NodeJS.ErrnoException) => {
      const reason = code === 'EADDRINUSE' ? 'it is in use' : message;
      reject(new Error(`The signer cannot listen on ${at}: ${reason}`));
    });
    listen();
  });
}
