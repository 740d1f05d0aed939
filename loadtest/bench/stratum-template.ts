// Block templates for the stratum suite: valid, of the shape a node gives, on a target that no hash meets.
import { createHash } from 'node:crypto';
import { witnessCommitmentScript } from '../../engine/bitcoin/coinbase.js';
import { bytesToHex, hashFromDisplay } from '../../engine/bitcoin/hex.js';
import { type BlockTemplate, parseTemplate } from '../../engine/work/template.js';

/** 2^12 - 1 transactions beside the coinbase are more than a block holds. */
export const BRANCHES_MAX = 12;
const SUBSIDY_SATS = 312_500_000;
const FEE_SATS = 1000;
const HEIGHT = 900_000;
/** Mainnet's of 2025: one hash in 5e23. */
const BITS = '17023a04';

/**
 * @param branches merkle branches of the coinbase, 0 .. 12
 * @param tip counts tips: each has another previous block
 * @param timeS Unix seconds
 */
export function benchTemplate(branches: number, tip: number, timeS: number): BlockTemplate {
  if (!Number.isInteger(branches) || branches < 0 || branches > BRANCHES_MAX) {
    throw new RangeError(
      `a template of ${branches} merkle branches cannot be made, only of 0 to ${BRANCHES_MAX}`,
    );
  }
  // The fewest transactions that need so many levels, the coinbase counted with them.
  const count = branches === 0 ? 0 : 2 ** (branches - 1);
  const txids = Array.from({ length: count }, (_, i) => hashOf(`transaction ${i}`));
  const commitment = witnessCommitmentScript(txids.map(hashFromDisplay));
  return parseTemplate(
    {
      version: 0x20000000,
      rules: ['csv', '!segwit', 'taproot'],
      previousblockhash: hashOf(`tip ${tip}`),
      transactions: txids.map((txid) => ({ data: '00', txid, hash: txid, fee: FEE_SATS, weight: 800 })),
      coinbasevalue: SUBSIDY_SATS + count * FEE_SATS,
      mintime: timeS - 600,
      curtime: timeS,
      bits: BITS,
      height: HEIGHT + tip,
      default_witness_commitment: bytesToHex(commitment),
    },
    'regtest',
  );
}

/** 64 hex digits that follow from the text. */
function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
