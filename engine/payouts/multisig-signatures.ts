// Looks into copies of our PSBT that others signed: same transaction, nothing told differently, and every signature
// verified here, so that a wrong one is named instead of spoiling the whole. Pure. Used by multisig-rail.ts.

import type { Transaction } from '@scure/btc-signer';
import { type Descriptor, locateScript, type OwnScript } from './multisig-descriptor.js';
import { fingerprintText } from './multisig-extended-key.js';
import {
  derivationsOf,
  type FoundSignature,
  inputsOf,
  isTaproot,
  isUsualSighash,
  outpointOf,
  type PsbtInput,
  readPsbt,
  type SpentOutput,
  signaturesOf,
  spentOutput,
  verifies,
} from './multisig-psbt.js';

/** A PSBT that was given back is not a signed copy of ours. */
export class TamperedPsbtError extends Error {
  override readonly name = 'TamperedPsbtError';
}

/** Our own PSBT, read and found to spend our coins only. */
export interface OwnPsbt {
  psbt: Transaction;
  spent: SpentOutput[];
  own: OwnScript[];
  feeSats: bigint;
}

export interface Signatures {
  /** Who signed which inputs (by position), by fingerprint of the master key, 8 hex digits. */
  signers: { fingerprint: string; inputs: number[] }[];
  /** Signatures that the input with the fewest still lacks. */
  needed: number;
}

/** Throws Error when an input is not of the descriptor. */
export function readOwnPsbt(text: string, descriptor: Descriptor): OwnPsbt {
  const psbt = readPsbt(text);
  const inputs = inputsOf(psbt);
  const spent = inputs.map(spentOutput);
  const own = inputs.map((input, at) => {
    const found = locateScript(descriptor, (spent[at] as SpentOutput).script, derivationsOf(input));
    if (found === null)
      throw new Error(`input ${outpointOf(input)} of our PSBT is not a coin of the descriptor`);
    return found;
  });
  let feeSats = spent.reduce((sum, { sats }) => sum + sats, 0n);
  for (let at = 0; at < psbt.outputsLength; at++) feeSats -= psbt.getOutput(at).amount ?? 0n;
  return { psbt, spent, own, feeSats };
}

/**
 * The signatures of all copies together. `copies`: base64, our own among them or not. Throws TamperedPsbtError naming
 * the copy (from 1) and what differs.
 */
export function collectSignatures(
  ours: OwnPsbt,
  copies: readonly string[],
  descriptor: Descriptor,
): Signatures {
  const signed = ours.own.map(() => new Set<number>());
  copies.forEach((text, number) => {
    const refuse = (reason: string): never => {
      throw new TamperedPsbtError(
        `PSBT ${number + 1} is refused: ${reason}. Sign the one that was exported, unchanged`,
      );
    };
    const copy = readPsbt(text);
    refuseOther(ours.psbt, copy, refuse);
    for (const [at, input] of inputsOf(copy).entries()) {
      refuseOtherInput(ours.psbt.getInput(at), input, (ours.spent[at] as SpentOutput).script, refuse);
      for (const found of signaturesOf(copy, at, ours.spent)) {
        signed[at]?.add(keyOf(ours, at, found, descriptor, refuse));
      }
    }
  });
  const signers = descriptor.keys
    .map(({ fingerprint }, key) => ({
      fingerprint: fingerprintText(fingerprint),
      inputs: signed.flatMap((keys, at) => (keys.has(key) ? [at] : [])),
    }))
    .filter(({ inputs }) => inputs.length > 0);
  const fewest = Math.min(...signed.map(({ size }) => size));
  return { signers, needed: Math.max(0, descriptor.threshold - fewest) };
}

type Refuse = (reason: string) => never;

function refuseOther(ours: Transaction, copy: Transaction, refuse: Refuse): void {
  if (copy.inputsLength !== ours.inputsLength) {
    refuse(`it has ${copy.inputsLength} inputs, ours has ${ours.inputsLength}`);
  }
  if (copy.outputsLength !== ours.outputsLength) {
    refuse(`it has ${copy.outputsLength} outputs, ours has ${ours.outputsLength}`);
  }
  for (let at = 0; at < ours.outputsLength; at++) {
    const [mine, theirs] = [ours.getOutput(at), copy.getOutput(at)];
    if (mine.amount !== theirs.amount) refuse(`output ${at} pays ${theirs.amount} sat, ours ${mine.amount}`);
    if (!isSame(mine.script, theirs.script)) refuse(`output ${at} pays another address`);
  }
  if (Buffer.compare(ours.unsignedTx, copy.unsignedTx) !== 0) refuse('its transaction is another one');
}

function refuseOtherInput(mine: PsbtInput, theirs: PsbtInput, script: Uint8Array, refuse: Refuse): void {
  const name = outpointOf(mine);
  if (!isUsualSighash(theirs, script))
    refuse(`input ${name} asks for signature hash type ${theirs.sighashType}`);
  const { witnessUtxo: told } = theirs;
  const isTold =
    told === undefined || mine.witnessUtxo === undefined
      ? true
      : told.amount === mine.witnessUtxo.amount && isSame(told.script, mine.witnessUtxo.script);
  if (!isTold) refuse(`input ${name} is said to spend another output`);
  for (const field of ['witnessScript', 'redeemScript', 'tapInternalKey', 'tapMerkleRoot'] as const) {
    if (theirs[field] !== undefined && !isSame(theirs[field], mine[field]))
      refuse(`input ${name} has another ${field}`);
  }
  if (theirs.finalScriptSig?.length)
    refuse(`input ${name} has a script signature, which witness inputs do not`);
}

/** Which key of the descriptor signed. */
function keyOf(
  ours: OwnPsbt,
  at: number,
  found: FoundSignature,
  descriptor: Descriptor,
  refuse: Refuse,
): number {
  const { publicKeys } = ours.own[at] as OwnScript;
  const { script } = ours.spent[at] as SpentOutput;
  const key = isTaproot(script) ? 0 : publicKeys.findIndex((publicKey) => isSame(publicKey, found.publicKey));
  if (key < 0) refuse(`input ${at} is signed by a key that is not in the descriptor`);
  if (!verifies(ours.psbt, at, ours.spent, found, ours.psbt.getInput(at).witnessScript)) {
    const by = fingerprintText(descriptor.keys[key]?.fingerprint ?? 0);
    refuse(`the signature of ${by} in input ${at} is wrong, or not of type ALL`);
  }
  return key;
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : Buffer.compare(a, b) === 0;
}
