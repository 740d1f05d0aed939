// Non-custodial coinbase: who of a split is paid by the block itself, on an output of their own, as far as mining
// firmware can take the longer coinbase (firmware profiles, coinbaseBytesMax). Pure; scripts come from the caller.
import { encodeVarint } from '../bitcoin/transaction.js';
import type { BlockSplit } from './split-block.js';

export interface CoinbaseOutputsInput {
  split: BlockSplit;
  /** Bytes without witness, extranonces included, of the coinbase that pays all to the pool. */
  baseBytes: number;
  /** Outputs of that coinbase: the pool's, and the witness commitment where there is one. */
  baseOutputs: number;
  /** Longest coinbase that the firmware takes. */
  coinbaseBytesMax: number;
  /** An account with less stays with the pool: spending it would cost too much of it. */
  dustSats: bigint;
  /** Output script of the account's address, null when it has none that may be paid to. */
  scriptOf: (accountId: number) => Uint8Array | null;
}

export interface DirectPayment {
  accountId: number;
  script: Uint8Array;
  amountSats: bigint;
}

export interface CoinbaseOutputs {
  /** Largest first; equal ones by account id. */
  direct: DirectPayment[];
  /** The pool's output: all the rest. 0 when nothing is left for it; the output may go then. */
  poolSats: bigint;
  /** The split without what is paid directly: what the pool holds for others, `poolSats` in all. */
  rest: BlockSplit;
}

/** Value of an output on the wire. */
const VALUE_BYTES = 8;

/**
 * Chooses the accounts that the coinbase pays straight: largest first, each with at least `dustSats`, as many as fit.
 * One whose script is too long for the room left is passed over for smaller ones. `direct` and `poolSats` sum to the
 * coinbase. Throws RangeError when not even the coinbase without direct payments fits.
 */
export function coinbaseOutputs(input: CoinbaseOutputsInput): CoinbaseOutputs {
  const { split, baseBytes, baseOutputs, coinbaseBytesMax, dustSats, scriptOf } = input;
  if (baseBytes > coinbaseBytesMax) {
    throw new RangeError(
      `the coinbase has ${baseBytes} bytes before any miner is paid, the firmware takes ${coinbaseBytesMax}: shorten the pool tag`,
    );
  }
  const candidates = split.credits
    .filter(({ amountSats }) => amountSats >= dustSats)
    .sort((a, b) =>
      a.amountSats === b.amountSats ? a.accountId - b.accountId : a.amountSats > b.amountSats ? -1 : 1,
    );
  const direct: DirectPayment[] = [];
  let outputBytes = 0;
  for (const { accountId, amountSats } of candidates) {
    const script = scriptOf(accountId);
    if (script === null) continue;
    const bytes = outputBytes + VALUE_BYTES + encodeVarint(script.length).length + script.length;
    const countBytes =
      encodeVarint(baseOutputs + direct.length + 1).length - encodeVarint(baseOutputs).length;
    if (baseBytes + bytes + countBytes > coinbaseBytesMax) continue;
    outputBytes = bytes;
    direct.push({ accountId, script, amountSats });
  }

  const paid = new Set(direct.map(({ accountId }) => accountId));
  const rest = { ...split, credits: split.credits.filter(({ accountId }) => !paid.has(accountId)) };
  const held = rest.credits.reduce((sum, { amountSats }) => sum + amountSats, 0n);
  const poolSats = held + rest.reserveSats + rest.feeSats + rest.donationSats + rest.remainderSats;
  return { direct, poolSats, rest };
}
