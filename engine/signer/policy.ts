// What a signer will put its name to. Pure: a PSBT, the descriptor of our wallet and limits in, a verdict out; nothing in
// the PSBT is believed that is not derived or hashed here. The daily cap is judged by psbt-signer.ts, which has a clock.

import type { Transaction } from '@scure/btc-signer';
import { addressFromScript } from '../bitcoin/address.js';
import { bytesToHex } from '../bitcoin/hex.js';
import type { NetworkName } from '../bitcoin/networks.js';
import { type Descriptor, locateScript, type OwnScript } from '../payouts/multisig-descriptor.js';
import { fingerprintText } from '../payouts/multisig-extended-key.js';
import {
  derivationsOf,
  inputsOf,
  isUsualSighash,
  outpointOf,
  outputsOf,
  signaturesOf,
  spentOutput,
  verifies,
} from '../payouts/multisig-psbt.js';

export interface SignerPolicy {
  network: NetworkName;
  descriptor: Descriptor;
  /** Most that the network fee may be of what is paid, parts per million. */
  feePpmMax: bigint;
  /** Most that may leave the wallet within 24 hours, fees included. */
  dailyCapSats: bigint;
}

export type RefusalCode =
  | 'unreadable'
  | 'wrong_network'
  | 'foreign_input'
  | 'unknown_amount'
  | 'unknown_sighash'
  | 'bad_signature'
  | 'unknown_change'
  | 'pays_nobody'
  | 'fee_too_high'
  | 'daily_cap';

/** The signer's no. */
export class SignerRefusal extends Error {
  override readonly name = 'SignerRefusal';
  readonly code: RefusalCode;

  constructor(code: RefusalCode, message: string) {
    super(message);
    this.code = code;
  }
}

export interface Judgement {
  /** Coins, `txid:index`, in the order of the transaction. */
  inputs: string[];
  /** Our address that each of them was paid to. */
  spends: OwnScript[];
  /** Everything that is not change. */
  payments: { address: string; sats: bigint }[];
  paidSats: bigint;
  changeSats: bigint;
  feeSats: bigint;
}

const PPM = 1_000_000n;
/** A wallet looks about 1000 addresses ahead: change far beyond would be ours, and never found. */
const CHANGE_INDEX_MAX = 1_000_000;

/** Throws SignerRefusal. */
export function judge(psbt: Transaction, policy: SignerPolicy): Judgement {
  const inputs = inputsOf(psbt);
  const coins = inputs.map(outpointOf);
  if (new Set(coins).size !== coins.length)
    throw new SignerRefusal('unreadable', 'the same coin is spent twice');
  const spent = inputs.map((input) => {
    try {
      return spentOutput(input);
    } catch (error) {
      throw new SignerRefusal('unknown_amount', (error as Error).message);
    }
  });
  const spends = inputs.map((input, at) => {
    const { script } = spent[at] as (typeof spent)[number];
    const own = locateScript(policy.descriptor, script, derivationsOf(input));
    if (own === null) {
      throw new SignerRefusal('foreign_input', `input ${coins[at]} is not a coin of our descriptor`);
    }
    if (!isUsualSighash(input, script)) {
      throw new SignerRefusal(
        'unknown_sighash',
        `input ${coins[at]} asks for signature hash type ${input.sighashType}; only ALL is signed`,
      );
    }
    return own;
  });
  refuseBadSignatures(psbt, spent, coins);

  const payments: Judgement['payments'] = [];
  let changeSats = 0n;
  for (const [at, output] of outputsOf(psbt).entries()) {
    const { script, amount: sats } = output;
    if (script === undefined || sats === undefined)
      throw new SignerRefusal('unreadable', `output ${at} is incomplete`);
    const derivations = derivationsOf(output);
    const own = locateScript(policy.descriptor, script, derivations);
    if (own !== null && own.branch === 'change') {
      if (own.index > CHANGE_INDEX_MAX) {
        throw new SignerRefusal(
          'unknown_change',
          `output ${at} is change number ${own.index}, which no wallet looks for`,
        );
      }
      changeSats += sats;
      continue;
    }
    if (own === null && derivations.length > 0) {
      const claimed = derivations.map(({ fingerprint }) => fingerprintText(fingerprint)).join(', ');
      throw new SignerRefusal(
        'unknown_change',
        `output ${at} is said to belong to keys of ${claimed}, but is no address of our descriptor`,
      );
    }
    payments.push({ address: addressFromScript(script, policy.network) ?? bytesToHex(script), sats });
  }
  const paidSats = payments.reduce((sum, { sats }) => sum + sats, 0n);
  const feeSats = spent.reduce((sum, { sats }) => sum + sats, 0n) - paidSats - changeSats;
  if (feeSats < 0n) throw new SignerRefusal('unreadable', 'the outputs are larger than the inputs');
  if (paidSats === 0n)
    throw new SignerRefusal('pays_nobody', 'all outputs are change of ours, only a fee is lost');
  if (feeSats * PPM > paidSats * policy.feePpmMax) {
    throw new SignerRefusal(
      'fee_too_high',
      `the fee of ${feeSats} sat is ${percent(feeSats, paidSats)} % of ${paidSats} sat paid; ` +
        `at most ${percent(policy.feePpmMax, PPM)} % is allowed`,
    );
  }
  return { inputs: coins, spends, payments, paidSats, changeSats, feeSats };
}

/** What others signed must hold and cover the whole transaction too: it could be finished with ours. */
function refuseBadSignatures(
  psbt: Transaction,
  spent: Parameters<typeof signaturesOf>[2],
  coins: string[],
): void {
  for (const [at, coin] of coins.entries()) {
    const script = psbt.getInput(at).witnessScript ?? psbt.getInput(at).finalScriptWitness?.at(-1);
    for (const found of signaturesOf(psbt, at, spent)) {
      if (!verifies(psbt, at, spent, found, script)) {
        throw new SignerRefusal(
          'bad_signature',
          `input ${coin} carries a signature that is wrong or not of type ALL`,
        );
      }
    }
  }
}

/** Two decimals, rounded down. */
function percent(part: bigint, whole: bigint): string {
  const hundredths = (part * 10_000n) / whole;
  return `${hundredths / 100n}.${String(hundredths % 100n).padStart(2, '0')}`;
}
