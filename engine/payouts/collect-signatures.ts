// Collects the signatures of a payout whose PSBT is stored and reserved: copies signed elsewhere are checked to
// be of that very transaction before they are kept, and put together when they suffice (BIP174).
import type { Payout, PayoutStore } from '../../storage/postgres/payout-store.js';
import { PSBT_CHARS_MAX } from './multisig-psbt.js';
import type { BuildResult, PayoutRail } from './rail.js';

/**
 * Takes a signed copy (base64). Throws when the payout waits for no signatures or the copy is of another
 * transaction. The runner puts the copies together at its next step.
 */
export async function acceptSignatures(
  store: PayoutStore,
  rail: PayoutRail,
  id: bigint,
  actor: string,
  signedPsbt: string,
): Promise<void> {
  const copy = signedPsbt.trim();
  if (copy.length > PSBT_CHARS_MAX || !/^[A-Za-z0-9+/]+={0,2}$/.test(copy)) {
    throw new Error('This is no PSBT in base64. Hand in the file that the signer wrote, as it is');
  }
  const payout = await store.payout(id);
  if (payout.status !== 'awaiting_signatures' || payout.psbt === null) {
    throw new Error(`payout ${id} is ${payout.status}: it waits for no signatures`);
  }
  await rail.combine([payout.psbt, copy]);
  await store.people.addSignatures(id, actor, copy);
}

/** The transaction when the copies handed in suffice; null until somebody handed one in. */
export async function combineCollected(
  store: PayoutStore,
  rail: PayoutRail,
  payout: Payout,
): Promise<BuildResult | null> {
  if (payout.psbt === null) throw new Error(`payout ${payout.id} awaits signatures but holds no PSBT`);
  const copies = await store.people.signatures(payout.id);
  return copies.length === 0 ? null : await rail.combine([payout.psbt, ...copies]);
}
