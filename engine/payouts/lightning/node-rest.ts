// HTTPS to our own Lightning node: one certificate is trusted and no other, answers have a size and a time,
// and no secret reaches an error message. Used by lnd-client.ts and cln-client.ts.
import { readFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { LightningNodeError } from './client.js';

export interface NodeRestOptions {
  /** https://host:port. http only to this machine itself (127.0.0.1, ::1, localhost). */
  url: string;
  /** PEM file: the node's own certificate, or the authority that signed it. */
  certificateFile?: string;
  /** Sent with each request: the macaroon or the rune. */
  secretHeader: { name: string; value: string };
  /** Milliseconds for a call that only reads. Default 15,000. */
  timeoutMs?: number;
}

export interface NodeAnswer {
  httpStatus: number;
  body: unknown;
}

const TIMEOUT_MS = 15_000;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
const LOCAL = new Set(['127.0.0.1', '[::1]', 'localhost']);

export class NodeRest {
  readonly #base: URL;
  readonly #secret: { name: string; value: string };
  readonly #timeoutMs: number;
  readonly #agent: Agent | undefined;

  /** Throws when the URL would send the secret in the clear, or the certificate cannot be read. */
  constructor(options: NodeRestOptions) {
    this.#base = new URL(options.url);
    this.#secret = options.secretHeader;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    if (!/^[\x21-\x7e]+$/.test(options.secretHeader.value)) {
      throw new Error('The macaroon or rune of the Lightning node is empty or not plain text. Set it again');
    }
    if (this.#base.protocol === 'https:') {
      this.#agent = pinnedAgent(options.certificateFile);
    } else if (this.#base.protocol !== 'http:' || !LOCAL.has(this.#base.hostname)) {
      throw new Error(
        `The Lightning node at ${this.#base.host} must be reached by https: the macaroon or rune would be ` +
          'sent in the clear. Use https:// and name its certificate',
      );
    }
  }

  /** One request, one JSON answer. Throws LightningNodeError when there is none in time. */
  async json(method: 'GET' | 'POST', path: string, body?: unknown, timeoutMs = this.#timeoutMs) {
    let last: NodeAnswer | null = null;
    await this.#exchange(method, path, body, timeoutMs, false, (httpStatus, text) => {
      last = { httpStatus, body: parseJson(text) };
      return true;
    });
    if (last === null) throw new LightningNodeError(`The Lightning node at ${this.#base.host} sent nothing`);
    return last as NodeAnswer;
  }

  /**
   * One request, an answer of JSON lines. `onLine` is called for each and says true when it has heard
   * enough. Resolves then, or when the node ends the stream.
   */
  async lines(
    method: 'GET' | 'POST',
    path: string,
    body: unknown,
    timeoutMs: number | undefined,
    onLine: (answer: NodeAnswer) => boolean,
  ): Promise<void> {
    await this.#exchange(method, path, body, timeoutMs ?? this.#timeoutMs, true, (httpStatus, text) =>
      onLine({ httpStatus, body: parseJson(text) }),
    );
  }

  #exchange(
    method: string,
    path: string,
    body: unknown,
    timeoutMs: number,
    byLine: boolean,
    onText: (httpStatus: number, text: string) => boolean,
  ): Promise<void> {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const send = this.#agent === undefined ? httpRequest : httpsRequest;
    return new Promise((resolve, reject) => {
      const fail = (reason: string) =>
        reject(new LightningNodeError(`The Lightning node at ${this.#base.host} ${reason}`));
      const outgoing = send(
        new URL(path, this.#base),
        {
          method,
          agent: this.#agent,
          headers: {
            accept: 'application/json',
            [this.#secret.name]: this.#secret.value,
            ...(payload === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
          },
        },
        (answer: IncomingMessage) => {
          const httpStatus = answer.statusCode ?? 0;
          let text = '';
          let bytes = 0;
          const take = (piece: string): boolean => {
            try {
              return onText(httpStatus, piece);
            } catch (error) {
              reject(error);
              return true;
            }
          };
          answer.setEncoding('utf8');
          answer.on('data', (chunk: string) => {
            bytes += Buffer.byteLength(chunk);
            if (bytes > ANSWER_BYTES_MAX) {
              fail(`sent more than ${ANSWER_BYTES_MAX} bytes`);
              outgoing.destroy();
              return;
            }
            text += chunk;
            if (!byLine || !chunk.includes('\n')) return;
            for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
              const line = text.slice(0, end).trim();
              text = text.slice(end + 1);
              if (line !== '' && take(line)) {
                resolve();
                outgoing.destroy();
                return;
              }
            }
          });
          answer.on('end', () => {
            if (text.trim() !== '') take(text);
            resolve();
          });
          answer.on('error', (error) => fail(`broke off its answer: ${error.message}`));
        },
      );
      const timer = setTimeout(() => {
        fail(`did not answer within ${Math.round(timeoutMs / 1000)} s`);
        outgoing.destroy();
      }, timeoutMs);
      outgoing.on('close', () => clearTimeout(timer));
      outgoing.on('error', (error) =>
        fail(`cannot be reached: ${error.message}. Check that it runs, its address and its certificate`),
      );
      outgoing.end(payload);
    });
  }
}

/** What a node says about why it refused, cut to one line; never what was sent to it. */
export function nodeMessage(body: unknown): string {
  const fields = (body ?? {}) as Record<string, unknown>;
  const inner = (typeof fields.error === 'object' && fields.error !== null ? fields.error : fields) as Record<
    string,
    unknown
  >;
  const message = typeof inner.message === 'string' ? inner.message : 'no reason given';
  return [...message]
    .map((character) => (character < ' ' ? ' ' : character))
    .join('')
    .slice(0, 300);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new LightningNodeError('The Lightning node answered something that is not JSON');
  }
}

/** Trusts the pinned certificate under any name (it is the very one), or what its authority signed. */
function pinnedAgent(file: string | undefined): Agent {
  if (file === undefined) return new Agent({ keepAlive: false });
  let pinned: Buffer;
  try {
    pinned = readFileSync(file);
  } catch (error) {
    throw new Error(
      `The certificate of the Lightning node, ${file}, cannot be read: ${(error as Error).message}. Correct the path`,
    );
  }
  const bodyOf = (pem: string) => pem.replace(/-----[^-]+-----|\s/g, '');
  const body = bodyOf(pinned.toString('latin1'));
  return new Agent({
    keepAlive: false,
    ca: pinned,
    checkServerIdentity: (host: string, certificate: PeerCertificate) =>
      certificate.raw.toString('base64') === body ? undefined : checkServerIdentity(host, certificate),
  });
}
