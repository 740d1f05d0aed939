// One PSBT in, a signed one out, or a refusal: policy, daily cap, log, signature, in this order and without a pause
// between them, so that two requests can never both take what is left of a day. Called by signer-server.ts.
//
// Signs by @scure/btc-signer: wpkh, wsh(multi), wsh(sortedmulti) and the key path of tr(KEY). Not signed: p2pkh and
// sh(...), taproot script paths, MuSig2 and other wsh scripts; multisig-descriptor.ts refuses them by form.

import { SigHash } from '@scure/btc-signer';
import type { NetworkName } from '../bitcoin/networks.js';
import { fingerprintText } from '../payouts/multisig-extended-key.js';
import { isTaproot, readPsbt, spentOutput, unsignedTxid, writePsbt } from '../payouts/multisig-psbt.js';
import type { DecisionLog } from './decision-log.js';
import type { SignerPart } from './key-file.js';
import { type Judgement, judge, type SignerPolicy, SignerRefusal } from './policy.js';
import type { SpendRecord } from './spend-record.js';

export interface SignRequest {
  /** Base64. */
  psbt: string;
  /** What the caller believes to be on. */
  network: NetworkName;
}

export interface SignAnswer {
  /** Base64, with our signature in every input. */
  psbt: string;
  txid: string;
  /** Of the master key we sign for, 8 hex digits. */
  fingerprint: string;
  signedInputs: number;
}

export interface PsbtSignerOptions {
  policy: SignerPolicy;
  part: SignerPart;
  record: SpendRecord;
  log: DecisionLog;
  /** Wall clock, milliseconds since 1970. */
  nowMs: () => number;
}

export class PsbtSigner {
  readonly #options: PsbtSignerOptions;

  constructor(options: PsbtSignerOptions) {
    this.#options = options;
  }

  /** Throws SignerRefusal, and Error when the record or the log cannot be written: nothing is signed then. */
  sign(request: SignRequest): SignAnswer {
    const { log, nowMs } = this.#options;
    const atMs = nowMs();
    try {
      return this.#sign(request, atMs);
    } catch (error) {
      const code = error instanceof SignerRefusal ? error.code : 'failed';
      log.write({ atMs, decision: 'refused', code, reason: (error as Error).message });
      throw error;
    }
  }

  #sign({ psbt: text, network }: SignRequest, atMs: number): SignAnswer {
    const { policy, part, record, log } = this.#options;
    if (network !== policy.network) {
      throw new SignerRefusal(
        'wrong_network',
        `asked for ${network}, this signer signs for ${policy.network} only`,
      );
    }
    const psbt = readable(text);
    const judgement = judge(psbt, policy);
    const txid = unsignedTxid(psbt);
    const leavingSats = judgement.paidSats + judgement.feeSats;
    const { added, totalSats } = record.add(
      { txid, inputs: judgement.inputs, sats: leavingSats, atMs },
      policy.dailyCapSats,
    );
    if (!added) {
      throw new SignerRefusal(
        'daily_cap',
        `${leavingSats} sat more would make ${totalSats} sat in 24 hours; the cap is ${policy.dailyCapSats}`,
      );
    }
    const { payments, paidSats, feeSats, changeSats } = judgement;
    log.write({
      atMs,
      decision: 'signed',
      txid,
      paidSats,
      feeSats,
      changeSats,
      dayTotalSats: totalSats,
      payments,
    });
    for (const [at, own] of judgement.spends.entries()) this.#signInput(psbt, at, own);
    return {
      psbt: writePsbt(psbt),
      txid,
      fingerprint: fingerprintText(part.fingerprint),
      signedInputs: judgement.spends.length,
    };
  }

  #signInput(psbt: ReturnType<typeof readable>, at: number, own: Judgement['spends'][number]): void {
    const input = psbt.getInput(at);
    const isFinal = input.finalScriptWitness !== undefined;
    if (isFinal) return;
    const types = isTaproot(spentOutput(input).script) ? [SigHash.DEFAULT, SigHash.ALL] : [SigHash.ALL];
    psbt.signIdx(this.#options.part.privateKeyFor(own), at, types);
  }
}

function readable(text: string) {
  try {
    return readPsbt(text);
  } catch (error) {
    throw new SignerRefusal('unreadable', (error as Error).message);
  }
}
