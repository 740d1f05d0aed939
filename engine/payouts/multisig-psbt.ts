// Reads partially signed transactions (BIP174, BIP370, BIP371) that others may have touched: bounds, the outputs that
// are spent, where keys are said to be, and which signatures are really there. Used by the signer and the multisig rail.
// https://github.com/bitcoin/bips/blob/master/bip-0174.mediawiki

import { schnorr, secp256k1 } from '@noble/curves/secp256k1.js';
import { base64 } from '@scure/base';
import { SigHash, Transaction } from '@scure/btc-signer';
import { sha256d } from '../bitcoin/hash.js';
import { parseTransaction } from '../bitcoin/transaction.js';
import type { Derivation } from './multisig-descriptor.js';

/** A payout of 500 outputs whose 500 inputs each carry their whole previous transaction stays far below. */
export const PSBT_CHARS_MAX = 16 * 1024 * 1024;
const INPUTS_MAX = 2000;
const OUTPUTS_MAX = 5000;

export type PsbtInput = ReturnType<Transaction['getInput']>;
export type PsbtOutput = ReturnType<Transaction['getOutput']>;

/** An output that an input spends. */
export interface SpentOutput {
  sats: bigint;
  script: Uint8Array;
}

/** Throws Error: not base64, no PSBT, too large, or with scripts that nobody uses. */
export function readPsbt(text: string): Transaction {
  if (text.length > PSBT_CHARS_MAX) throw new Error(`the PSBT is longer than ${PSBT_CHARS_MAX} characters`);
  let psbt: Transaction;
  try {
    // Signatures of one length (low R) keep to the size that the fee was computed for.
    psbt = Transaction.fromPSBT(base64.decode(text.trim()), { lowR: true });
  } catch (error) {
    throw new Error(
      `this is no PSBT that can be read (${(error as Error).message}). Export it again, in base64`,
    );
  }
  if (psbt.inputsLength === 0 || psbt.inputsLength > INPUTS_MAX) {
    throw new Error(`the PSBT has ${psbt.inputsLength} inputs: 1 to ${INPUTS_MAX} are taken`);
  }
  if (psbt.outputsLength === 0 || psbt.outputsLength > OUTPUTS_MAX) {
    throw new Error(`the PSBT has ${psbt.outputsLength} outputs: 1 to ${OUTPUTS_MAX} are taken`);
  }
  return psbt;
}

export function writePsbt(psbt: Transaction): string {
  return base64.encode(psbt.toPSBT());
}

export function inputsOf(psbt: Transaction): PsbtInput[] {
  return Array.from({ length: psbt.inputsLength }, (_, i) => psbt.getInput(i));
}

export function outputsOf(psbt: Transaction): PsbtOutput[] {
  return Array.from({ length: psbt.outputsLength }, (_, i) => psbt.getOutput(i));
}

/** `txid:index`, txid in display order. */
export function outpointOf({ txid, index }: PsbtInput): string {
  if (txid === undefined || index === undefined) throw new Error('an input of the PSBT names no coin');
  return `${Buffer.from(txid).toString('hex')}:${index}`;
}

/**
 * What `input` spends. From its whole previous transaction, whose hash must be the one that the input names, or, for a
 * taproot output, from the copy in the PSBT: that signature commits to all amounts, those of version 0 only to their own
 * (BIP341, "common signature message"). Throws Error.
 */
export function spentOutput(input: PsbtInput): SpentOutput {
  const name = outpointOf(input);
  const { witnessUtxo, nonWitnessUtxo, index = 0 } = input;
  if (nonWitnessUtxo !== undefined) {
    // The library checks the hash of this transaction when it reads the PSBT.
    const output = nonWitnessUtxo.outputs[index];
    if (output?.amount === undefined || output.script === undefined) {
      throw new Error(`the previous transaction of input ${name} has no output ${index}`);
    }
    const spent = { sats: output.amount, script: output.script };
    if (witnessUtxo !== undefined && !isSameOutput(spent, witnessUtxo)) {
      throw new Error(`input ${name} is told in two ways: its amount or script was changed`);
    }
    return spent;
  }
  if (witnessUtxo === undefined) throw new Error(`input ${name} does not say what it spends`);
  if (!isTaproot(witnessUtxo.script)) {
    throw new Error(`input ${name} comes without its previous transaction, so its amount cannot be checked`);
  }
  return { sats: witnessUtxo.amount, script: witnessUtxo.script };
}

function isSameOutput(spent: SpentOutput, other: { amount: bigint; script: Uint8Array }): boolean {
  return spent.sats === other.amount && Buffer.compare(spent.script, other.script) === 0;
}

/** Whether `script` is a taproot output. */
export function isTaproot(script: Uint8Array): boolean {
  return script.length === 34 && script[0] === 0x51 && script[1] === 32;
}

/** Where the PSBT says that the keys of an input or output are. */
export function derivationsOf(part: PsbtInput | PsbtOutput): Derivation[] {
  return [
    ...(part.bip32Derivation ?? []).map(([, derivation]) => derivation),
    ...(part.tapBip32Derivation ?? []).map(([, { der }]) => der),
  ];
}

/** Whether an input says that it is signed in the usual way: all of the transaction. */
export function isUsualSighash({ sighashType }: PsbtInput, script: Uint8Array): boolean {
  if (sighashType === undefined || sighashType === SigHash.ALL) return true;
  return sighashType === SigHash.DEFAULT && isTaproot(script);
}

/** A signature in a PSBT. `publicKey`: 33 bytes, or 32 (the output's key) for taproot. */
export interface FoundSignature {
  publicKey: Uint8Array;
  signature: Uint8Array;
}

/**
 * The signatures that input `at` carries, open or finalised. Those of a finalised multisig are given to the first key
 * that they verify with; one that fits none comes with an empty key.
 */
export function signaturesOf(psbt: Transaction, at: number, spent: readonly SpentOutput[]): FoundSignature[] {
  const input = psbt.getInput(at);
  const own = spent[at] as SpentOutput;
  if (isTaproot(own.script)) {
    const signature = input.tapKeySig ?? input.finalScriptWitness?.[0];
    return signature === undefined ? [] : [{ publicKey: own.script.subarray(2), signature }];
  }
  const witness = input.finalScriptWitness;
  if (witness === undefined) {
    return (input.partialSig ?? []).map(([publicKey, signature]) => ({ publicKey, signature }));
  }
  if (own.script.length === 22) {
    const [signature, publicKey] = witness;
    return signature === undefined || publicKey === undefined ? [] : [{ publicKey, signature }];
  }
  const script = witness.at(-1) ?? new Uint8Array();
  const keys = multisigKeys(script);
  return witness
    .slice(0, -1)
    .filter(({ length }) => length > 0)
    .map((signature) => ({
      signature,
      publicKey:
        keys.find((publicKey) => verifies(psbt, at, spent, { publicKey, signature }, script)) ??
        new Uint8Array(),
    }));
}

/**
 * Whether a signature of input `at` holds and covers the whole transaction (SIGHASH_ALL; DEFAULT for taproot).
 * `witnessScript`: of a wsh input.
 */
export function verifies(
  psbt: Transaction,
  at: number,
  spent: readonly SpentOutput[],
  { publicKey, signature }: FoundSignature,
  witnessScript: Uint8Array | undefined,
): boolean {
  const own = spent[at] as SpentOutput;
  try {
    if (isTaproot(own.script)) {
      const type = signature.length === 64 ? SigHash.DEFAULT : signature[64];
      if (signature.length > 64 && (signature.length !== 65 || type !== SigHash.ALL)) return false;
      const scripts = spent.map(({ script }) => script);
      const amounts = spent.map(({ sats }) => sats);
      const message = psbt.preimageWitnessV1(at, scripts, type as number, amounts);
      return schnorr.verify(signature.subarray(0, 64), message, publicKey);
    }
    if (signature.at(-1) !== SigHash.ALL) return false;
    const code = own.script.length === 22 ? p2pkhScript(own.script.subarray(2)) : witnessScript;
    if (code === undefined) return false;
    const message = psbt.preimageWitnessV0(at, code, SigHash.ALL, own.sats);
    return secp256k1.verify(signature.subarray(0, -1), message, publicKey, { prehash: false, format: 'der' });
  } catch {
    // A key off the curve or bytes that are no signature.
    return false;
  }
}

/** Id in display order of what is signed; signatures of witness inputs do not change it. */
export function unsignedTxid(psbt: Transaction): string {
  return Buffer.from(sha256d(psbt.unsignedTx)).reverse().toString('hex');
}

/** `txid:index` of each coin that a transaction (hex) or PSBT (base64) spends. Throws Error. */
export function spentOutpoints(rawOrPsbt: string): string[] {
  if (!/^[0-9a-f]+$/i.test(rawOrPsbt)) return inputsOf(readPsbt(rawOrPsbt)).map(outpointOf);
  return parseTransaction(Buffer.from(rawOrPsbt, 'hex')).inputs.map(
    ({ previousTxid, previousIndex }) =>
      `${Buffer.from(previousTxid).reverse().toString('hex')}:${previousIndex}`,
  );
}

/** Public keys pushed by a multisig script. */
function multisigKeys(script: Uint8Array): Uint8Array[] {
  const keys: Uint8Array[] = [];
  for (let at = 1; script[at] === 33; at += 34) keys.push(script.subarray(at + 1, at + 34));
  return keys;
}

function p2pkhScript(hash: Uint8Array): Uint8Array {
  return Uint8Array.of(0x76, 0xa9, 20, ...hash, 0x88, 0xac);
}
