// The two virtual transactions of BIP322 and the check that the second spends the first. Scripts are not run but known:
// one key, a hash of one, m of n keys, and the key path of taproot. Any other is refused, where the BIP says
// "inconclusive". Called by message-signature.ts.
// https://github.com/bitcoin/bips/blob/master/bip-0322.mediawiki

import { schnorr, secp256k1 } from '@noble/curves/secp256k1.js';
import { ripemd160 } from '@noble/hashes/legacy.js';
import { OutScript, SigHash, Transaction as SignableTransaction } from '@scure/btc-signer';
import type { PayoutAddress } from './address.js';
import { sha256, sha256d } from './hash.js';
import {
  ByteReader,
  concatBytes,
  serializeTransaction,
  serializeWithoutWitness,
  type Transaction,
  type TransactionInput,
  txid,
  uint32LE,
} from './transaction.js';

const TAG = sha256(new TextEncoder().encode('BIP0322-signed-message'));
const OP_RETURN = Uint8Array.of(0x6a);
const ANNEX = 0x50;
/** Strict DER, then the byte of the sighash. */
const ECDSA_BYTES_MAX = 73;
const WRONG = 'the signature is of another message or by another key';

/** BIP340-tagged hash of `message`, 32 bytes. */
export function messageHash(message: Uint8Array): Uint8Array {
  return sha256(concatBytes([TAG, TAG, message]));
}

/** `to_spend`: pays `script`, from an output that cannot exist. */
export function toSpend(script: Uint8Array, message: Uint8Array): Transaction {
  const input = {
    previousTxid: new Uint8Array(32),
    previousIndex: 0xffffffff,
    scriptSig: concatBytes([Uint8Array.of(0, 32), messageHash(message)]),
    sequence: 0,
    witness: [],
  };
  return { version: 0, inputs: [input], outputs: [{ sats: 0n, script }], lockTime: 0 };
}

/** `to_sign` with the defaults of a simple signature: spends `to_spend` with this script and witness. */
export function toSign(
  spent: Transaction,
  scriptSig: Uint8Array,
  witness: readonly Uint8Array[],
): Transaction {
  const input = { previousTxid: txid(spent), previousIndex: 0, scriptSig, sequence: 0, witness };
  return { version: 0, inputs: [input], outputs: [{ sats: 0n, script: OP_RETURN }], lockTime: 0 };
}

/** `to_sign` of a simple signature: `stack` is a witness on the wire. Throws Error. */
export function simpleTransaction(payee: PayoutAddress, message: Uint8Array, stack: Uint8Array): Transaction {
  const witness = readStack(stack);
  return toSign(toSpend(payee.script, message), nestedScriptSig(payee, witness), witness);
}

/**
 * Checks that `transaction` is the `to_sign` of `message` for `payee` and that its signatures hold.
 * Returns its lock time and the sequence of its input. Throws Error saying what is wrong.
 */
export function verifyToSign(
  payee: PayoutAddress,
  message: Uint8Array,
  transaction: Transaction,
): { lockTime: number; sequence: number } {
  const { version, inputs, outputs, lockTime } = transaction;
  const [input] = inputs;
  const [output] = outputs;
  if (version !== 0 && version !== 2)
    throw new Error(`the signature's transaction has version ${version}, not 0 or 2`);
  if (inputs.length > 1)
    throw new Error('a proof of funds (several inputs) is not accepted, only a signature');
  if (input === undefined) throw new Error("the signature's transaction has no input");
  if (outputs.length !== 1 || output?.sats !== 0n || !equal(output.script, OP_RETURN)) {
    throw new Error("the signature's transaction must have one output, of 0 satoshis to OP_RETURN");
  }
  if (input.previousIndex !== 0 || !equal(input.previousTxid, txid(toSpend(payee.script, message)))) {
    throw new Error(WRONG);
  }
  verifyInput(payee, transaction, input);
  return { lockTime, sequence: input.sequence };
}

function verifyInput(payee: PayoutAddress, transaction: Transaction, input: TransactionInput): void {
  if (payee.type === 'p2pkh') {
    if (input.witness.length > 0) throw new Error('a p2pkh address takes no witness');
    verifyPubkeyHash(payee.hash, readPushes(input.scriptSig), () => legacySighash(transaction, payee.script));
    return;
  }
  if (payee.type === 'p2sh') {
    const program = input.scriptSig.subarray(1);
    if (input.scriptSig[0] !== program.length || !equal(ripemd160(sha256(program)), payee.hash))
      throw new Error(WRONG);
    verifyProgram(program, transaction, input);
    return;
  }
  if (input.scriptSig.length > 0) throw new Error(`a ${payee.type} address takes no scriptSig`);
  verifyProgram(payee.script, transaction, input);
}

/** `program`: version, length, 20 or 32 bytes. */
function verifyProgram(program: Uint8Array, transaction: Transaction, input: TransactionInput): void {
  const hash = program.subarray(2);
  const signable = () =>
    SignableTransaction.fromRaw(serializeTransaction(transaction), { allowUnknownOutputs: true });
  if (program[0] === 0x51 && program.length === 34) {
    verifyTaproot(hash, input.witness, (type) => signable().preimageWitnessV1(0, [program], type, [0n]));
    return;
  }
  if (program[0] !== 0 || program[1] !== hash.length || (hash.length !== 20 && hash.length !== 32)) {
    throw new Error('the address pays a script that this pool cannot check; sign with an address of one key');
  }
  const sighash = (script: Uint8Array) => () => signable().preimageWitnessV0(0, script, SigHash.ALL, 0n);
  if (hash.length === 20) {
    verifyPubkeyHash(hash, input.witness, sighash(OutScript.encode({ type: 'pkh', hash })), 33);
    return;
  }
  const script = input.witness.at(-1) ?? new Uint8Array();
  if (!equal(sha256(script), hash)) throw new Error(WRONG);
  verifyWitnessScript(script, input.witness.slice(0, -1), sighash(script));
}

function verifyWitnessScript(
  script: Uint8Array,
  stack: readonly Uint8Array[],
  sighash: () => Uint8Array,
): void {
  const known = knownScript(script);
  if (known?.type === 'pkh') {
    verifyPubkeyHash(known.hash, stack, sighash, 33);
  } else if (known?.type === 'pk') {
    if (stack.length !== 1) throw new Error(`the witness has ${stack.length} items before its script, not 1`);
    if (known.pubkey.length !== 33 || !ecdsaHolds(stack[0], known.pubkey, sighash)) throw new Error(WRONG);
  } else if (known?.type === 'ms') {
    const [dummy, ...signatures] = stack;
    if (dummy?.length !== 0 || signatures.length !== known.m) {
      throw new Error(`the witness must hold an empty item and ${known.m} signatures before its script`);
    }
    if (known.pubkeys.some((key) => key.length !== 33))
      throw new Error('the script holds a key that is not compressed');
    let at = 0;
    // Signatures come in the order of their keys.
    for (const signature of signatures) {
      while (at < known.pubkeys.length && !ecdsaHolds(signature, known.pubkeys[at] as Uint8Array, sighash))
        at++;
      if (at++ >= known.pubkeys.length) throw new Error(WRONG);
    }
  } else {
    throw new Error(
      'the script of the address is neither one key nor m of n keys: this pool cannot check it (inconclusive)',
    );
  }
}

/** What `script` asks for, when it is written as every wallet writes it. */
function knownScript(script: Uint8Array) {
  try {
    const known = OutScript.decode(script);
    return equal(OutScript.encode(known), script) ? known : undefined;
  } catch {
    return undefined;
  }
}

function verifyPubkeyHash(
  hash: Uint8Array,
  stack: readonly Uint8Array[],
  sighash: () => Uint8Array,
  keyBytes?: number,
): void {
  const [signature, key] = stack;
  if (signature === undefined || key === undefined || stack.length !== 2) {
    throw new Error(`the signature must hold one signature and one key, it holds ${stack.length} items`);
  }
  if (keyBytes !== undefined && key.length !== keyBytes) throw new Error('the key is not compressed');
  if (!equal(ripemd160(sha256(key)), hash) || !ecdsaHolds(signature, key, sighash)) throw new Error(WRONG);
}

/** `witness`: one Schnorr signature of 64 bytes (SIGHASH_DEFAULT) or 65 (with SIGHASH_ALL). */
function verifyTaproot(
  key: Uint8Array,
  witness: readonly Uint8Array[],
  sighash: (type: number) => Uint8Array,
): void {
  const [signature] = witness;
  if (witness.length > 1) {
    const what = witness.at(-1)?.[0] === ANNEX ? 'has an annex' : 'takes a script path';
    throw new Error(`the taproot signature ${what}: this pool checks the key path only (inconclusive)`);
  }
  const named = signature?.length === 65 ? signature[64] : SigHash.DEFAULT;
  if (signature === undefined || (signature.length !== 64 && named !== SigHash.ALL)) {
    throw new Error('the witness must hold one Schnorr signature, with SIGHASH_DEFAULT or SIGHASH_ALL');
  }
  if (!schnorr.verify(signature.subarray(0, 64), sighash(named as number), key)) throw new Error(WRONG);
}

/** `signature`: strict DER with low S, then SIGHASH_ALL. Throws when it has another form, false when it does not fit. */
function ecdsaHolds(signature: Uint8Array | undefined, key: Uint8Array, sighash: () => Uint8Array): boolean {
  if (signature === undefined || signature.length > ECDSA_BYTES_MAX || signature.at(-1) !== SigHash.ALL) {
    throw new Error('every signature must be of the kind SIGHASH_ALL');
  }
  const der = signature.subarray(0, -1);
  const { Signature } = secp256k1;
  let parsed: InstanceType<typeof Signature>;
  try {
    parsed = Signature.fromBytes(der, 'der');
  } catch {
    throw new Error('a signature is not strictly DER-encoded');
  }
  if (!equal(parsed.toBytes('der'), der)) throw new Error('a signature is not strictly DER-encoded');
  if (parsed.hasHighS()) throw new Error('a signature is not in its canonical form (high S)');
  return secp256k1.verify(der, sighash(), key, { prehash: false, lowS: true, format: 'der' });
}

/** Digest of the only input for SIGHASH_ALL before segwit. */
function legacySighash(transaction: Transaction, script: Uint8Array): Uint8Array {
  const inputs = transaction.inputs.map((input) => ({ ...input, scriptSig: script, witness: [] }));
  return sha256d(concatBytes([serializeWithoutWitness({ ...transaction, inputs }), uint32LE(SigHash.ALL)]));
}

/** scriptSig of a segwit address inside p2sh, which a simple signature leaves out; empty for others. */
function nestedScriptSig(payee: PayoutAddress, witness: readonly Uint8Array[]): Uint8Array {
  if (payee.type === 'p2pkh')
    throw new Error('a p2pkh address takes no simple BIP322 signature, only full or legacy');
  if (payee.type !== 'p2sh') return new Uint8Array();
  const last = witness.at(-1) ?? new Uint8Array();
  const programs = [
    concatBytes([Uint8Array.of(0, 20), ripemd160(sha256(last))]),
    concatBytes([Uint8Array.of(0, 32), sha256(last)]),
  ];
  const program = programs.find((one) => equal(ripemd160(sha256(one)), payee.hash));
  if (program === undefined) throw new Error(WRONG);
  return concatBytes([Uint8Array.of(program.length), program]);
}

function readStack(bytes: Uint8Array): Uint8Array[] {
  const reader = new ByteReader(bytes);
  const stack: Uint8Array[] = [];
  try {
    for (let left = reader.count(1); left > 0; left--) stack.push(reader.take(reader.count(1)));
  } catch (error) {
    throw new Error(`the signature holds no well-formed witness: ${(error as Error).message}`);
  }
  if (reader.left > 0) throw new Error(`the signature has ${reader.left} bytes too many at its end`);
  return stack;
}

/** Items of a scriptSig of direct pushes (1 to 75 bytes each); any other opcode is refused. */
function readPushes(script: Uint8Array): Uint8Array[] {
  const items: Uint8Array[] = [];
  for (let at = 0; at < script.length; ) {
    const length = script[at++] as number;
    if (length < 2 || length > 75 || at + length > script.length) {
      throw new Error('the scriptSig holds something other than a signature and a key');
    }
    items.push(script.subarray(at, at + length));
    at += length;
  }
  return items;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
