// Payouts by Lightning: the node that pays them, and what one payment may cost.
import { Type } from '@sinclair/typebox';
import { notes, SATS_MAX } from './settings-notes.js';

const LIGHTNING = 'Payouts by Lightning';
const PATH = { minLength: 1, maxLength: 4096, unit: 'path' };
const NODE_URL = 'https://host:port; http only to this machine';

export const LIGHTNING_SETTINGS = {
  lnd_url: Type.Optional(
    Type.String(
      notes({
        group: LIGHTNING,
        format: 'http-url',
        unit: NODE_URL,
        unset: 'none',
        description: 'REST interface of the LND that pays accounts with a Lightning address',
      }),
    ),
  ),
  lnd_macaroon_file: Type.Optional(
    Type.String(
      notes({
        group: LIGHTNING,
        ...PATH,
        unset: 'none',
        description:
          'Macaroon of LND, as LND wrote it or in hex, mode 0600; needs offchain:read, offchain:write, info:read',
      }),
    ),
  ),
  lnd_cert_file: Type.Optional(
    Type.String(
      notes({
        group: LIGHTNING,
        ...PATH,
        unset: 'the public authorities',
        description: 'The one certificate that LND is trusted with (tls.cert)',
      }),
    ),
  ),
  cln_url: Type.Optional(
    Type.String(
      notes({
        group: LIGHTNING,
        format: 'http-url',
        unit: NODE_URL,
        unset: 'none',
        description: 'REST interface (clnrest) of the Core Lightning that pays, instead of LND_URL',
      }),
    ),
  ),
  cln_rune_file: Type.Optional(
    Type.String(
      notes({
        group: LIGHTNING,
        ...PATH,
        unset: 'none',
        description: 'Rune of Core Lightning, mode 0600; needs getinfo, decode, pay, listpays',
      }),
    ),
  ),
  cln_cert_file: Type.Optional(
    Type.String(
      notes({
        group: LIGHTNING,
        ...PATH,
        unset: 'the public authorities',
        description: 'The one certificate that Core Lightning is trusted with (ca.pem)',
      }),
    ),
  ),
  lightning_max_sats: Type.Integer(
    notes({
      group: LIGHTNING,
      default: 1_000_000,
      minimum: 1,
      maximum: SATS_MAX,
      unit: 'sats',
      description: 'Most that one Lightning payment takes from a balance; at most PAYOUT_APPROVAL_ABOVE',
    }),
  ),
  lightning_fee_max: Type.Number(
    notes({
      group: LIGHTNING,
      default: 0.5,
      minimum: 0,
      maximum: 100,
      unit: '%, to 0.0001',
      description: 'Most that routing may cost, of the amount',
    }),
  ),
  lightning_fee_base: Type.Integer(
    notes({
      group: LIGHTNING,
      default: 10,
      minimum: 0,
      maximum: 1_000_000,
      unit: 'sats',
      description: 'What routing may cost at least, so that small payments find a way',
    }),
  ),
};
