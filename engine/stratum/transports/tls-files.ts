// The certificate and key of a port, read again when the files change: an operator renews them without a restart.
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { ListenOptions } from './listener.js';

export interface TlsFileOptions {
  /** PEM; the certificate of the port first, then the chain up to, but without, the root. */
  readonly certFile: string;
  /** PEM, without passphrase. */
  readonly keyFile: string;
  /** How often the files are looked at; 5 s. */
  readonly checkEveryMs?: number;
}

export interface TlsPair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

const CHECK_EVERY_MS = 5000;

export class TlsFiles {
  readonly #options: TlsFileOptions;
  readonly #log: ListenOptions['log'];
  #onChange: (pair: TlsPair) => void = () => {};
  /** The newest content that was looked at, good or not. */
  #seen: TlsPair;

  /**
   * @throws Error for the operator when the files cannot be read or do not belong together
   */
  constructor(options: TlsFileOptions, log: ListenOptions['log']) {
    this.#options = options;
    this.#log = log;
    try {
      this.#seen = this.#read();
      check(this.#seen);
    } catch (error) {
      throw new Error(
        `TLS cannot use the certificate ${options.certFile} with the key ${options.keyFile}: ` +
          `${(error as Error).message}. Both must be PEM files and belong together, the key without passphrase.`,
      );
    }
  }

  get pair(): TlsPair {
    return this.#seen;
  }

  /** @param onChange gets each new good pair; what it throws is logged, and the old one stays */
  watch(onChange: (pair: TlsPair) => void): void {
    this.#onChange = onChange;
    const { certFile, keyFile, checkEveryMs: interval = CHECK_EVERY_MS } = this.#options;
    // Polling sees what inotify does not: network file systems and the symlinks that certbot and Kubernetes swap.
    for (const file of [certFile, keyFile]) watchFile(file, { interval, persistent: false }, this.#changed);
  }

  /** Looks at the files now. @returns true when a new pair was taken */
  reload(): boolean {
    const { certFile } = this.#options;
    try {
      const pair = this.#read();
      if (pair.cert.equals(this.#seen.cert) && pair.key.equals(this.#seen.key)) return false;
      this.#seen = pair;
      check(pair);
      this.#onChange(pair);
      this.#log('info', `TLS uses the new certificate ${certFile}`);
      return true;
    } catch (error) {
      this.#log(
        'error',
        `TLS keeps its old certificate: the new one, ${certFile}, cannot be used: ${(error as Error).message}`,
      );
      return false;
    }
  }

  close(): void {
    const { certFile, keyFile } = this.#options;
    for (const file of [certFile, keyFile]) unwatchFile(file, this.#changed);
  }

  readonly #changed = (): void => {
    this.reload();
  };

  #read(): TlsPair {
    return { cert: readFileSync(this.#options.certFile), key: readFileSync(this.#options.keyFile) };
  }
}

/** @throws when it is no certificate and key, or they do not belong together */
function check(pair: TlsPair): void {
  createSecureContext(pair);
}
