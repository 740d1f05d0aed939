// `millrace payout sign`: copies of a payout's PSBT that key holders signed, each checked to be of that very transaction
// before it is kept. Needs no node: signatures are verified here.
import { readFileSync, statSync } from 'node:fs';
import { railOf } from '../../storage/postgres/payout-status.js';
import { type Payout, PayoutStore } from '../../storage/postgres/payout-store.js';
import { sha256 } from '../bitcoin/hash.js';
import { bytesToHex } from '../bitcoin/hex.js';
import { parseDescriptor } from '../payouts/multisig-descriptor.js';
import { PSBT_CHARS_MAX, readPsbt, unsignedTxid } from '../payouts/multisig-psbt.js';
import { collectSignatures, readOwnPsbt } from '../payouts/multisig-signatures.js';
import type { CommandDatabase } from './database.js';

export interface SignedPayout {
  id: bigint;
  status: Payout['status'];
  /** Who signed, by file. */
  files: { file: string; signers: string }[];
  /** Signatures that are still missing; null where only the node can tell. */
  missing: number | null;
  text: string;
}

/** First bytes of a binary PSBT (BIP174). */
const MAGIC = Buffer.from('70736274ff', 'hex');

/** Throws Error that names the file; files before it are kept, and may be handed in again. */
export async function signPayout(
  { config, database }: CommandDatabase,
  id: bigint,
  paths: readonly string[],
): Promise<SignedPayout> {
  const store = new PayoutStore(database);
  const payout = await store.payout(id);
  const { status, psbt } = payout;
  if (['signed', 'broadcast', 'confirmed'].includes(status)) {
    return {
      ...{ id, status, files: [], missing: 0 },
      text: `Payout ${id} is ${status}, it has all its signatures: nothing changed.`,
    };
  }
  if (status !== 'awaiting_signatures' || psbt === null) {
    throw new Error(`payout ${id} is ${status}: it waits for no signatures`);
  }
  const rail = await railOf(database, id);
  const { multisigDescriptor: text, network } = config;
  if (text === null && rail !== 'node wallet') {
    throw new Error(
      `payout ${id} is paid by a multisig, and MULTISIG_DESCRIPTOR is not set here: set it as for the pool`,
    );
  }
  const descriptor = text === null || rail === 'node wallet' ? null : parseDescriptor(text, network);
  const ours = descriptor === null ? null : readOwnPsbt(psbt, descriptor);
  const files: SignedPayout['files'] = [];
  for (const file of paths) {
    const copy = readCopy(file);
    let signers: string;
    try {
      if (descriptor === null || ours === null) signers = strangerOf(psbt, copy);
      else {
        const found = collectSignatures(ours, [copy], descriptor).signers;
        if (found.length === 0) throw new Error('nobody signed it');
        signers = `key ${found
          .map(({ fingerprint }) => fingerprint)
          .sort()
          .join('+')}`;
      }
    } catch (error) {
      throw new Error(`${file}: ${(error as Error).message}`);
    }
    await store.people.addSignatures(id, signers, copy);
    files.push({ file, signers });
  }
  const copies = [psbt, ...(await store.people.signatures(id))];
  const missing =
    descriptor === null || ours === null ? null : collectSignatures(ours, copies, descriptor).needed;
  const next =
    missing === null
      ? 'The pool asks its node whether they suffice.'
      : missing === 0
        ? 'The signatures suffice: the pool sends it by itself.'
        : `${missing} more signature${missing === 1 ? ' is' : 's are'} needed.`;
  const taken = files.map(({ file, signers }) => `${file}: signed by ${signers}`);
  return { id, status, files, missing, text: [...taken, `Payout ${id}: ${next}`].join('\n') };
}

/** Base64 of what is in the file. */
function readCopy(path: string): string {
  let bytes: Buffer;
  try {
    if (statSync(path).size > PSBT_CHARS_MAX) throw new Error(`it is larger than ${PSBT_CHARS_MAX} bytes`);
    bytes = readFileSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(`${path}: ${code === 'ENOENT' ? 'there is no such file' : message}`);
  }
  if (bytes.subarray(0, MAGIC.length).equals(MAGIC)) return bytes.toString('base64');
  const text = bytes.toString('latin1').trim();
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) {
    throw new Error(`${path}: it holds no PSBT. Hand in the file that the signer wrote, as it is`);
  }
  return text;
}

/** Where no descriptor says who may sign, a copy is known by its hash. Throws when it is of another transaction. */
function strangerOf(ours: string, copy: string): string {
  if (unsignedTxid(readPsbt(copy)) !== unsignedTxid(readPsbt(ours))) {
    throw new Error('it is another transaction. Sign the one that was exported, unchanged');
  }
  return `copy ${bytesToHex(sha256(Buffer.from(copy, 'base64'))).slice(0, 16)}`;
}
