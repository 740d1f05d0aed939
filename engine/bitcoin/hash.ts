// SHA-256 and its double, the hash of Bitcoin's headers, transactions and merkle nodes (FIPS 180-4).
// For templates, blocks and audits. Shares are hashed in WASM: see the top-level folder `wasm`.

import { hash } from 'node:crypto';

/** SHA-256 of `data`: 32 bytes. */
export function sha256(data: Uint8Array): Uint8Array {
  return new Uint8Array(hash('sha256', data, 'buffer'));
}

/** SHA-256 of the SHA-256 of `data`: 32 bytes, in the order they come out ("little-endian" hash). */
export function sha256d(data: Uint8Array): Uint8Array {
  return new Uint8Array(hash('sha256', hash('sha256', data, 'buffer'), 'buffer'));
}
