// The proof that an invoice was paid: a preimage whose SHA-256 is the payment hash. A node's word alone is
// not taken for it.
import { sha256 } from '../../bitcoin/hash.js';
import { bytesToHex, hexToBytes } from '../../bitcoin/hex.js';
import { FieldError } from './answer-fields.js';
import type { PaidStatus } from './client.js';

/** `paymentHash`, `preimage`: 32 bytes, hex. Throws FieldError when the preimage proves nothing. */
export function paidStatus(paymentHash: string, preimage: string, feeMsat: bigint): PaidStatus {
  if (bytesToHex(sha256(hexToBytes(preimage))) !== paymentHash) {
    throw new FieldError('the preimage does not hash to the payment hash');
  }
  return { state: 'paid', preimage, feeMsat };
}
