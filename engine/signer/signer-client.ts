// Asks a signer for its signature. Used by signer-rail.ts; the other side is signer-server.ts.

import { request as httpRequest } from 'node:http';
import type { NetworkName } from '../bitcoin/networks.js';
import { PSBT_CHARS_MAX } from '../payouts/multisig-psbt.js';
import type { SignAnswer } from './psbt-signer.js';
import type { SignerDoor } from './signer-server.js';

const TIMEOUT_MS = 30_000;
const ANSWER_BYTES_MAX = PSBT_CHARS_MAX + 4096;

/** The signer did not sign. */
export class SignerClientError extends Error {
  override readonly name = 'SignerClientError';
  /** The signer's own code (policy.ts), or `unreachable`, `unauthorized`, `failed`. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export class SignerClient {
  readonly #door: SignerDoor;
  readonly #network: NetworkName;

  constructor(door: SignerDoor, network: NetworkName) {
    this.#door = door;
    this.#network = network;
  }

  /** Path or host:port, for messages. */
  get name(): string {
    return 'socketPath' in this.#door ? this.#door.socketPath : `${this.#door.host}:${this.#door.port}`;
  }

  /** `psbt`: base64. Asking twice for the same PSBT counts once. Throws SignerClientError. */
  async sign(psbt: string): Promise<SignAnswer> {
    const { status, text } = await this.#post(JSON.stringify({ psbt, network: this.#network }));
    let body: Partial<Record<string, unknown>>;
    try {
      body = JSON.parse(text) as Partial<Record<string, unknown>>;
    } catch {
      throw new SignerClientError(
        'failed',
        `What listens at ${this.name} is no signer: its answer is not JSON`,
      );
    }
    if (status === 200) return readAnswer(body, this.name);
    throw new SignerClientError(
      String(body.error ?? 'failed'),
      `The signer at ${this.name} refused: ${String(body.message ?? `HTTP ${status}`).slice(0, 1000)}`,
    );
  }

  #post(body: string): Promise<{ status: number; text: string }> {
    const door = this.#door;
    return new Promise((resolve, reject) => {
      const fail = (reason: string) =>
        reject(
          new SignerClientError(
            'unreachable',
            `The signer at ${this.name} does not answer (${reason}): check that it runs`,
          ),
        );
      const request = httpRequest(
        {
          ...('socketPath' in door ? { socketPath: door.socketPath } : { host: door.host, port: door.port }),
          method: 'POST',
          path: '/sign',
          agent: false,
          timeout: TIMEOUT_MS,
          headers: {
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(body),
            ...('token' in door ? { authorization: `Bearer ${door.token}` } : {}),
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          let bytes = 0;
          response.on('data', (chunk: Buffer) => {
            bytes += chunk.length;
            if (bytes > ANSWER_BYTES_MAX) request.destroy(new Error('its answer is too long'));
            else chunks.push(chunk);
          });
          response.on('error', (error) => fail(error.message));
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
          );
        },
      );
      request.on('timeout', () => request.destroy(new Error(`nothing within ${TIMEOUT_MS / 1000} s`)));
      request.on('error', (error) => fail(error.message));
      request.end(body);
    });
  }
}

function readAnswer(
  { psbt, txid, fingerprint, signedInputs }: Partial<Record<string, unknown>>,
  name: string,
): SignAnswer {
  if (
    typeof psbt !== 'string' ||
    typeof txid !== 'string' ||
    typeof fingerprint !== 'string' ||
    typeof signedInputs !== 'number'
  ) {
    throw new SignerClientError('failed', `The signer at ${name} answered without a PSBT`);
  }
  return { psbt, txid, fingerprint, signedInputs };
}
