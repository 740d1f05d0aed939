// LND by its REST interface. https://lightning.engineering/api-docs/api/lnd/
//   GET  /v1/getinfo                 GET /v1/payreq/{invoice}
//   POST /v2/router/send             a stream of payments, the last of which is final
//   GET  /v2/router/track/{hash}     the same for a payment made before; the hash in URL-safe base64
// A stream has lines {"result": payment} or {"error": {code, message}}; before the first line an error may
// also come bare. Codes are those of gRPC.

import { FieldError, hexOf, msatOf, objectOf, textOf } from './answer-fields.js';
import { INVOICE_PREFIX } from './bolt11.js';
import type { LightningClient, NodeDecode, NodeInfo, PaymentStatus, PayTerms } from './client.js';
import { LightningNodeError } from './client.js';
import { NodeRest, type NodeRestOptions, nodeMessage } from './node-rest.js';
import { paidStatus } from './preimage.js';

export interface LndOptions extends Omit<NodeRestOptions, 'secretHeader'> {
  /** Hex. Needs offchain:read, offchain:write, info:read. */
  macaroon: string;
}

const GRPC_NOT_FOUND = 5;
/** What the answer may take beyond the time that the node looks for routes. */
const PAY_SLACK_MS = 15_000;
const NETWORK: Readonly<Record<string, NodeInfo['prefix']>> = {
  mainnet: INVOICE_PREFIX.mainnet,
  testnet: INVOICE_PREFIX.testnet4,
  testnet4: INVOICE_PREFIX.testnet4,
  signet: INVOICE_PREFIX.signet,
  regtest: INVOICE_PREFIX.regtest,
};

export class LndClient implements LightningClient {
  readonly #rest: NodeRest;

  /** Throws when the macaroon is not hex, or as NodeRest does. */
  constructor({ macaroon, ...options }: LndOptions) {
    if (!/^([0-9a-f]{2})+$/i.test(macaroon)) {
      throw new Error('The LND macaroon is not hex. Give the file in hex: xxd -p -c 10000 FILE');
    }
    this.#rest = new NodeRest({
      ...options,
      secretHeader: { name: 'Grpc-Metadata-macaroon', value: macaroon },
    });
  }

  async info(): Promise<NodeInfo> {
    return await this.#get('/v1/getinfo', (answer) => {
      const chains = answer.chains;
      const chain = objectOf(Array.isArray(chains) ? chains[0] : undefined, 'chains[0]');
      const prefix = NETWORK[textOf(chain.network, 'network', 20)];
      if (prefix === undefined) throw new FieldError('the network is unknown');
      return {
        nodeId: hexOf(answer.identity_pubkey, 'identity_pubkey', 33),
        prefix,
        version: textOf(answer.version, 'version', 200),
        synced: answer.synced_to_chain === true,
      };
    });
  }

  async decode(bolt11: string): Promise<NodeDecode> {
    return await this.#get(`/v1/payreq/${encodeURIComponent(bolt11)}`, (answer) => {
      const amountMsat = msatOf(answer.num_msat ?? '0', 'num_msat');
      return {
        paymentHash: hexOf(answer.payment_hash, 'payment_hash', 32),
        payee: hexOf(answer.destination, 'destination', 33),
        amountMsat: amountMsat === 0n ? null : amountMsat,
      };
    });
  }

  async pay({ bolt11, maxFeeSats, timeoutS }: PayTerms): Promise<PaymentStatus> {
    let last: PaymentStatus = { state: 'in_flight' };
    await this.#rest.lines(
      'POST',
      '/v2/router/send',
      {
        payment_request: bolt11,
        timeout_seconds: timeoutS,
        fee_limit_sat: maxFeeSats.toString(),
        no_inflight_updates: true,
      },
      timeoutS * 1000 + PAY_SLACK_MS,
      ({ httpStatus, body }) => {
        const error = errorOf(body);
        // Also "payment is in transition" and "invoice is already paid": `status` knows which.
        if (error !== null) throw refusal('send', httpStatus, body);
        last = readPayment(body);
        return last.state !== 'in_flight';
      },
    );
    return last;
  }

  async status(paymentHash: string): Promise<PaymentStatus> {
    const hash = Buffer.from(paymentHash, 'hex').toString('base64url');
    let known: PaymentStatus | null = null;
    // Base64 of 32 bytes ends with one '='.
    await this.#rest.lines('GET', `/v2/router/track/${hash}=`, undefined, undefined, (answer) => {
      const error = errorOf(answer.body);
      if (error === null) known = readPayment(answer.body, paymentHash);
      else if (error.code === GRPC_NOT_FOUND && /payment/i.test(error.message)) known = { state: 'unknown' };
      else throw refusal('track', answer.httpStatus, answer.body);
      // The first line says how things are; the stream would go on until the payment is over.
      return true;
    });
    if (known === null) throw new LightningNodeError('LND ended the answer to track without a line');
    return known;
  }

  async #get<T>(path: string, read: (answer: Record<string, unknown>) => T): Promise<T> {
    const { httpStatus, body } = await this.#rest.json('GET', path);
    if (httpStatus !== 200) throw refusal(path.split('/')[2] ?? '', httpStatus, body);
    return shaped(() => read(objectOf(body, 'the answer')));
  }
}

function readPayment(body: unknown, expectedHash?: string): PaymentStatus {
  return shaped(() => {
    const payment = objectOf(objectOf(body, 'the line').result, 'result');
    const paymentHash = hexOf(payment.payment_hash, 'payment_hash', 32);
    if (expectedHash !== undefined && paymentHash !== expectedHash) {
      throw new FieldError('payment_hash is that of another payment');
    }
    switch (payment.status) {
      case 'SUCCEEDED':
        return paidStatus(
          paymentHash,
          hexOf(payment.payment_preimage, 'payment_preimage', 32),
          msatOf(payment.fee_msat ?? '0', 'fee_msat'),
        );
      case 'FAILED':
        return { state: 'failed', reason: textOf(payment.failure_reason ?? 'FAILED', 'failure_reason', 100) };
      case 'IN_FLIGHT':
      case 'INITIATED':
        return { state: 'in_flight' };
      default:
        throw new FieldError('status is none that LND documents');
    }
  });
}

function errorOf(body: unknown): { code: number; message: string } | null {
  const fields = shaped(() => objectOf(body, 'the line'));
  if (fields.result !== undefined) return null;
  const inner = (typeof fields.error === 'object' && fields.error !== null ? fields.error : fields) as Record<
    string,
    unknown
  >;
  const code = inner.code ?? inner.grpc_code;
  return { code: typeof code === 'number' ? code : -1, message: nodeMessage(body) };
}

function refusal(call: string, httpStatus: number, body: unknown): LightningNodeError {
  const cure = /macaroon|permission|verification/i.test(nodeMessage(body)) ? '. Check the macaroon' : '';
  return new LightningNodeError(`LND refused ${call} (HTTP ${httpStatus}): ${nodeMessage(body)}${cure}`);
}

function shaped<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof FieldError) throw new LightningNodeError(`LND answered: ${error.message}`);
    throw error;
  }
}
