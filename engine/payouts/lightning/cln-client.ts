// Core Lightning by its REST plugin (clnrest), with a rune. https://docs.corelightning.org/docs/rest
//   POST /v1/getinfo, /v1/decode, /v1/pay, /v1/listpays; parameters and results are those of the commands.
// An error has HTTP status 4xx or 5xx and {code, message}, in older versions inside {"error": ...}.
import { FieldError, hexOf, msatOf, objectOf, textOf } from './answer-fields.js';
import { decodeInvoice, INVOICE_PREFIX } from './bolt11.js';
import type { LightningClient, NodeDecode, NodeInfo, PaymentStatus, PayTerms } from './client.js';
import { LightningNodeError } from './client.js';
import { type NodeAnswer, NodeRest, type NodeRestOptions, nodeMessage } from './node-rest.js';
import { paidStatus } from './preimage.js';

export interface ClnOptions extends Omit<NodeRestOptions, 'secretHeader'> {
  /** Needs method=getinfo, decode, pay, listpays. */
  rune: string;
}

const PAY_SLACK_MS = 15_000;
const PAYS_MAX = 1000;
/** Errors of `pay` after which it has given up (lightning-pay(7)): destination refuses, no route, too dear, expired, timed out with nothing in flight. */
const GAVE_UP: ReadonlySet<number> = new Set([203, 205, 206, 207, 210]);
const NETWORK: Readonly<Record<string, NodeInfo['prefix']>> = {
  bitcoin: INVOICE_PREFIX.mainnet,
  testnet: INVOICE_PREFIX.testnet4,
  testnet4: INVOICE_PREFIX.testnet4,
  signet: INVOICE_PREFIX.signet,
  regtest: INVOICE_PREFIX.regtest,
};

export class ClnClient implements LightningClient {
  readonly #rest: NodeRest;

  /** Throws as NodeRest does. */
  constructor({ rune, ...options }: ClnOptions) {
    this.#rest = new NodeRest({ ...options, secretHeader: { name: 'Rune', value: rune } });
  }

  async info(): Promise<NodeInfo> {
    return await this.#call('getinfo', {}, (answer) => {
      const prefix = NETWORK[textOf(answer.network, 'network', 20)];
      if (prefix === undefined) throw new FieldError('the network is unknown');
      return {
        nodeId: hexOf(answer.id, 'id', 33),
        prefix,
        version: textOf(answer.version, 'version', 200),
        synced: answer.warning_bitcoind_sync === undefined && answer.warning_lightningd_sync === undefined,
      };
    });
  }

  async decode(bolt11: string): Promise<NodeDecode> {
    return await this.#call('decode', { string: bolt11 }, (answer) => {
      if (answer.type !== 'bolt11 invoice' || answer.valid !== true) {
        throw new FieldError('the invoice is not valid to the node');
      }
      return {
        paymentHash: hexOf(answer.payment_hash, 'payment_hash', 32),
        payee: hexOf(answer.payee, 'payee', 33),
        amountMsat: answer.amount_msat === undefined ? null : msatOf(answer.amount_msat, 'amount_msat'),
      };
    });
  }

  async pay({ bolt11, description, maxFeeSats, timeoutS }: PayTerms): Promise<PaymentStatus> {
    const { paymentHash } = decodeInvoice(bolt11);
    const answer = await this.#rest.json(
      'POST',
      '/v1/pay',
      {
        bolt11,
        maxfee: `${maxFeeSats * 1000n}msat`,
        retry_for: timeoutS,
        ...(description === null ? {} : { description }),
      },
      timeoutS * 1000 + PAY_SLACK_MS,
    );
    if (isError(answer)) {
      if (!GAVE_UP.has(codeOf(answer.body))) throw refusal('pay', answer);
      // It looks for no more routes; a part may still be in flight.
      const now = await this.status(paymentHash);
      return now.state === 'unknown' ? { state: 'failed', reason: nodeMessage(answer.body) } : now;
    }
    return shaped(() => {
      const result = objectOf(answer.body, 'the answer');
      if (result.status !== 'complete') return { state: 'in_flight' };
      return readPaid(result, result.payment_preimage, paymentHash);
    });
  }

  async status(paymentHash: string): Promise<PaymentStatus> {
    return await this.#call('listpays', { payment_hash: paymentHash }, (answer) => {
      const list = answer.pays;
      if (!Array.isArray(list) || list.length > PAYS_MAX)
        throw new FieldError('pays is not a list in bounds');
      const pays = list.map((one) => {
        const pay = objectOf(one, 'a pay');
        if (hexOf(pay.payment_hash, 'payment_hash', 32) !== paymentHash) {
          throw new FieldError('payment_hash is that of another payment');
        }
        return pay;
      });
      const complete = pays.find(({ status }) => status === 'complete');
      if (complete !== undefined) return readPaid(complete, complete.preimage, paymentHash);
      if (pays.length === 0) return { state: 'unknown' };
      if (pays.every(({ status }) => status === 'failed')) {
        return { state: 'failed', reason: 'every attempt failed' };
      }
      if (pays.some(({ status }) => status !== 'pending' && status !== 'failed')) {
        throw new FieldError('status is none that Core Lightning documents');
      }
      return { state: 'in_flight' };
    });
  }

  async #call<T>(
    command: string,
    parameters: object,
    read: (answer: Record<string, unknown>) => T,
  ): Promise<T> {
    const answer = await this.#rest.json('POST', `/v1/${command}`, parameters);
    if (isError(answer)) throw refusal(command, answer);
    return shaped(() => read(objectOf(answer.body, 'the answer')));
  }
}

function readPaid(fields: Record<string, unknown>, preimage: unknown, paymentHash: string): PaymentStatus {
  const sentMsat = msatOf(fields.amount_sent_msat, 'amount_sent_msat');
  const amountMsat =
    fields.amount_msat === undefined && typeof fields.bolt11 === 'string'
      ? decodeInvoice(fields.bolt11).amountMsat
      : msatOf(fields.amount_msat, 'amount_msat');
  if (amountMsat === null || sentMsat < amountMsat)
    throw new FieldError('amount_sent_msat is below the amount');
  return paidStatus(paymentHash, hexOf(preimage, 'preimage', 32), sentMsat - amountMsat);
}

function isError({ httpStatus }: NodeAnswer): boolean {
  return httpStatus < 200 || httpStatus > 299;
}

function codeOf(body: unknown): number {
  const fields = (body ?? {}) as { code?: unknown; error?: { code?: unknown } };
  const code = fields.error?.code ?? fields.code;
  return typeof code === 'number' ? code : 0;
}

function refusal(command: string, { httpStatus, body }: NodeAnswer): LightningNodeError {
  const cure = httpStatus === 401 || httpStatus === 403 ? '. Check the rune' : '';
  return new LightningNodeError(
    `Core Lightning refused ${command} (HTTP ${httpStatus}): ${nodeMessage(body)}${cure}`,
  );
}

function shaped<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof FieldError)
      throw new LightningNodeError(`Core Lightning answered: ${error.message}`);
    throw error;
  }
}
