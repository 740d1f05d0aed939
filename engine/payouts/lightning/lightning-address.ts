// Lightning addresses: from user@domain and an amount to an invoice that may be paid.
// LUD-16 (address -> URL) https://github.com/lnurl/luds/blob/luds/16.md
// LUD-06 (terms -> callback -> invoice) https://github.com/lnurl/luds/blob/luds/06.md
// What a service answers is a stranger's: everything that decides where money goes is checked here.
import { sha256 } from '../../bitcoin/hash.js';
import { bytesToHex } from '../../bitcoin/hex.js';
import { FieldError, msatOf, objectOf, textOf } from './answer-fields.js';
import {
  decodeInvoice,
  INVOICE_CHARS_MAX,
  type Invoice,
  InvoiceError,
  type InvoicePrefix,
} from './bolt11.js';
import { getPublicJson, PublicGetError, type PublicGetOptions } from './public-get.js';

/** Why there is no invoice; the message is for the miner and the operator. */
export class LightningAddressError extends Error {
  override readonly name = 'LightningAddressError';
}

export interface InvoiceWanted {
  amountMsat: bigint;
  prefix: InvoicePrefix;
  /** Seconds since 1970. */
  nowS: number;
}

export interface FetchedInvoice {
  invoice: Invoice;
  /** What the invoice carries the hash of; null when it carries its description itself. */
  description: string | null;
}

const USER = /^[a-z0-9._+-]{1,64}$/;
const DOMAIN = /^(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;
const LOOPBACK_DOMAIN = /^127\.0\.0\.1(:\d{1,5})?$/;
const METADATA_CHARS_MAX = 400_000;
/** An invoice that dies sooner is not worth sending. */
const LIFE_LEFT_S_MIN = 60;
/** A payment that the node never heard of waits for the end of its invoice; that must not be for ever. */
const LIFE_LEFT_S_MAX = 31 * 24 * 3600;
/** Clocks differ. */
const CREATED_AHEAD_S_MAX = 600;

/**
 * Splits an address. Throws LightningAddressError when it has not the form of LUD-16 or no service can be
 * asked: an onion service needs Tor, which the pool does not speak.
 */
export function parseLightningAddress(
  address: string,
  allowLoopback = false,
): { user: string; domain: string } {
  const [user = '', domain = '', ...rest] = address.split('@');
  const known = DOMAIN.test(domain) || (allowLoopback && LOOPBACK_DOMAIN.test(domain));
  if (rest.length > 0 || !USER.test(user) || !known) {
    throw new LightningAddressError(
      'a Lightning address is like name@example.com, in lower case, with letters, digits and . _ + - before the @',
    );
  }
  if (domain.endsWith('.onion')) {
    throw new LightningAddressError('the pool cannot reach onion services: use an address of the open web');
  }
  return { user, domain };
}

/** Asks the service of `address` for an invoice as wanted. Throws LightningAddressError. */
export async function fetchInvoice(
  address: string,
  wanted: InvoiceWanted,
  options: PublicGetOptions = {},
): Promise<FetchedInvoice> {
  const { user, domain } = parseLightningAddress(address, options.allowLoopback);
  const scheme = options.allowLoopback && LOOPBACK_DOMAIN.test(domain) ? 'http' : 'https';
  const url = new URL(`${scheme}://${domain}/.well-known/lnurlp/${user}`);
  try {
    const terms = readTerms(await getPublicJson(url, options));
    if (wanted.amountMsat < terms.minMsat || wanted.amountMsat > terms.maxMsat) {
      throw new LightningAddressError(
        `${domain} takes ${terms.minMsat} to ${terms.maxMsat} millisatoshi, not ${wanted.amountMsat}`,
      );
    }
    const separator = terms.callback.includes('?') ? '&' : '?';
    const callback = new URL(`${terms.callback}${separator}amount=${wanted.amountMsat}`);
    const answer = answerOf(await getPublicJson(callback, options));
    const invoice = decodeInvoice(textOf(answer.pr, 'pr', INVOICE_CHARS_MAX));
    checkInvoice(invoice, wanted);
    // LUD-06 wanted this hash in every invoice; services of today may leave it out, but not lie in it.
    const hash = bytesToHex(sha256(Buffer.from(terms.metadata, 'utf8')));
    if (invoice.descriptionHash !== null && invoice.descriptionHash !== hash) {
      throw new LightningAddressError('the invoice is for something else: its description hash differs');
    }
    return { invoice, description: invoice.descriptionHash === null ? null : terms.metadata };
  } catch (error) {
    if (error instanceof LightningAddressError) throw error;
    if (error instanceof PublicGetError || error instanceof FieldError || error instanceof InvoiceError) {
      throw new LightningAddressError(`${address}: ${error.message}`);
    }
    throw error;
  }
}

/** Throws LightningAddressError unless the invoice is exactly what was wanted and can still be paid. */
export function checkInvoice(invoice: Invoice, { amountMsat, prefix, nowS }: InvoiceWanted): void {
  if (invoice.prefix !== prefix) {
    throw new LightningAddressError(
      `the invoice is of network ln${invoice.prefix}, the pool pays on ln${prefix}`,
    );
  }
  if (invoice.amountMsat !== amountMsat) {
    throw new LightningAddressError(
      `the invoice asks for ${invoice.amountMsat ?? 'any number of'} millisatoshi instead of ${amountMsat}`,
    );
  }
  const lifeLeftS = invoice.expiresAtS - nowS;
  if (lifeLeftS < LIFE_LEFT_S_MIN) throw new LightningAddressError('the invoice has expired or is about to');
  if (lifeLeftS > LIFE_LEFT_S_MAX)
    throw new LightningAddressError('the invoice is valid for more than 31 days');
  if (invoice.createdAtS > nowS + CREATED_AHEAD_S_MAX) {
    throw new LightningAddressError('the invoice is from the future: a clock is wrong, ours or theirs');
  }
}

interface Terms {
  callback: string;
  minMsat: bigint;
  maxMsat: bigint;
  metadata: string;
}

function readTerms(body: unknown): Terms {
  const terms = answerOf(body);
  if (terms.tag !== 'payRequest') throw new FieldError('the service does not take payments (tag)');
  const callback = textOf(terms.callback, 'callback', 2000);
  if (!URL.canParse(callback)) throw new FieldError('callback is not a URL');
  const minMsat = msatOf(terms.minSendable, 'minSendable');
  const maxMsat = msatOf(terms.maxSendable, 'maxSendable');
  if (minMsat < 1n || maxMsat < minMsat)
    throw new FieldError('minSendable and maxSendable contradict each other');
  const metadata = textOf(terms.metadata, 'metadata', METADATA_CHARS_MAX);
  checkMetadata(metadata);
  return { callback, minMsat, maxMsat, metadata };
}

function checkMetadata(metadata: string): void {
  let entries: unknown;
  try {
    entries = JSON.parse(metadata);
  } catch {
    throw new FieldError('metadata is not JSON');
  }
  const plain =
    Array.isArray(entries) &&
    entries.every(Array.isArray) &&
    entries.filter(([type, text]) => type === 'text/plain' && typeof text === 'string').length === 1;
  if (!plain) throw new FieldError('metadata is not a list with one text/plain entry');
}

/** The answer's fields; the service's own refusal becomes the error. */
function answerOf(body: unknown): Record<string, unknown> {
  const answer = objectOf(body, 'the answer');
  if (answer.status === 'ERROR') {
    const reason = typeof answer.reason === 'string' ? answer.reason : 'no reason given';
    throw new LightningAddressError(
      `the service refuses: ${reason.replace(/[^\x20-\x7e\u00a0-\uffff]/g, ' ').slice(0, 200)}`,
    );
  }
  return answer;
}
