// Who a block pays, and how it gets to them.
import { Type } from '@sinclair/typebox';
import { SCHEMES } from '../accounting/schemes.js';
import { LIGHTNING_SETTINGS } from './settings-lightning.js';
import { byKind, notes, SATS_MAX } from './settings-notes.js';

const MONEY = 'Rewards and payouts';

export const MONEY_SETTINGS = {
  payout_scheme: Type.Union(
    SCHEMES.map((scheme) => Type.Literal(scheme)),
    notes({
      group: MONEY,
      default: 'pplns',
      unit: SCHEMES.join(', '),
      description:
        'How work is paid where neither account nor port says otherwise. pps, ppsplus and fpps pay each share out of the reserve',
    }),
  ),
  pplns_window: Type.Number(
    notes({
      group: MONEY,
      default: 2,
      minimum: 0.001,
      maximum: 1000,
      unit: 'x network difficulty, to 0.001',
      description: 'Recent work that a block pays (PPLNS)',
    }),
  ),
  pool_fee: Type.Number(
    notes({
      group: MONEY,
      default: 1,
      minimum: 0,
      maximum: 100,
      unit: '%, to 0.0001',
      description: 'What the pool keeps',
    }),
  ),
  scheme_fees: Type.Optional(
    Type.Array(
      Type.String({ format: 'scheme-fee' }),
      notes({
        group: MONEY,
        maxItems: SCHEMES.length,
        unit: 'SCHEME=%, comma-separated',
        unset: 'POOL_FEE for all',
        description: 'Fees of single schemes, e.g. fpps=4,solo=0.5',
      }),
    ),
  ),
  expected_pay_interval: Type.Integer(
    notes({
      group: MONEY,
      minimum: 1,
      maximum: 86_400,
      unit: 's',
      networkDefault: byKind(10, 600),
      description: 'Time between two credits of pps, ppsplus and fpps',
    }),
  ),
  reserve_limit: Type.Integer(
    notes({
      group: MONEY,
      default: 0,
      minimum: 0,
      maximum: SATS_MAX,
      unit: 'sats, 0 = 20 blocks',
      description:
        'Reserve below which pps, ppsplus and fpps become pplns, for new shares, until it is 25 % above it again',
    }),
  ),
  min_payout: Type.Integer(
    notes({
      group: MONEY,
      default: 100_000,
      minimum: 546,
      maximum: SATS_MAX,
      unit: 'sats',
      description: 'Smallest payment the pool ever makes, and the lowest threshold a miner can have',
    }),
  ),
  auto_payout_threshold: Type.Integer(
    notes({
      group: MONEY,
      default: 1_000_000,
      minimum: 546,
      maximum: SATS_MAX,
      unit: 'sats',
      description: 'Confirmed balance at which an account is paid; at least MIN_PAYOUT',
    }),
  ),
  payout_frequency: Type.Integer(
    notes({
      group: MONEY,
      minimum: 1,
      maximum: 2_592_000,
      unit: 's',
      networkDefault: byKind(60, 3600),
      description: 'Time between two payout runs',
    }),
  ),
  payout_fee_payer: Type.Union(
    [Type.Literal('pool'), Type.Literal('payees')],
    notes({
      group: MONEY,
      default: 'pool',
      unit: 'pool or payees',
      description: 'Who pays the network fee of payouts; payees by the weight of their outputs',
    }),
  ),
  fee_rate_min: Type.Number(
    notes({
      group: MONEY,
      default: 1,
      minimum: 0.1,
      maximum: 10_000,
      unit: 'sats/vB',
      description: 'Lowest fee rate of a payout',
    }),
  ),
  fee_rate_max: Type.Number(
    notes({
      group: MONEY,
      default: 200,
      minimum: 1,
      maximum: 10_000,
      unit: 'sats/vB',
      description: 'Highest fee rate of a payout, also when it is stuck',
    }),
  ),
  fee_rate_wait: Type.Number(
    notes({
      group: MONEY,
      default: 50,
      minimum: 0.1,
      maximum: 10_000,
      unit: 'sats/vB',
      description: 'Dearer than this, a payout waits for cheaper times',
    }),
  ),
  fee_confirm_target: Type.Integer(
    notes({
      group: MONEY,
      default: 6,
      minimum: 1,
      maximum: 1008,
      unit: 'blocks',
      description: 'Blocks in which a payout should confirm, for the fee estimate of the node',
    }),
  ),
  payout_wait_max: Type.Integer(
    notes({
      group: MONEY,
      default: 86_400,
      minimum: 0,
      maximum: 2_592_000,
      unit: 's',
      description:
        'Longest wait of a payout for a cheaper fee; then it pays what is asked, FEE_RATE_MAX at most',
    }),
  ),
  fee_bump_after: Type.Integer(
    notes({
      group: MONEY,
      default: 6,
      minimum: 0,
      maximum: 1008,
      unit: 'blocks, 0 = never',
      description: 'Blocks after which an unconfirmed payout is replaced by the same at a higher fee',
    }),
  ),
  payout_daily_max: Type.Integer(
    notes({
      group: MONEY,
      default: 0,
      minimum: 0,
      maximum: SATS_MAX,
      unit: 'sats, 0 = no limit',
      description: 'Most that leaves the pool within 24 h',
    }),
  ),
  payout_approval_above: Type.Integer(
    notes({
      group: MONEY,
      default: 0,
      minimum: 0,
      maximum: SATS_MAX,
      unit: 'sats, 0 = never',
      description:
        'A payout transaction above it waits for the approval of two people (millrace payout approve)',
    }),
  ),
  hot_wallet_max: Type.Integer(
    notes({
      group: MONEY,
      default: 0,
      minimum: 0,
      maximum: SATS_MAX,
      unit: 'sats, 0 = no limit',
      description: 'Coins beyond it are swept from the hot wallet to COLD_ADDRESS',
    }),
  ),
  hot_wallet_min: Type.Integer(
    notes({
      group: MONEY,
      default: 0,
      minimum: 0,
      maximum: SATS_MAX,
      unit: 'sats',
      description: 'What a sweep leaves in the hot wallet',
    }),
  ),
  cold_address: Type.Optional(
    Type.String(
      notes({
        group: MONEY,
        minLength: 1,
        maxLength: 100,
        unit: 'Bitcoin address',
        unset: 'nothing is swept',
        description: 'Address of the cold wallet',
      }),
    ),
  ),
  multisig_descriptor: Type.Optional(
    Type.String(
      notes({
        group: MONEY,
        minLength: 10,
        maxLength: 4000,
        unit: 'output descriptor, wsh(sortedmulti(K,...))',
        unset: "the node's own wallet pays",
        description: 'Payouts come from this multisig; each waits for its signatures (millrace payout)',
      }),
    ),
  ),
  multisig_since: Type.Optional(
    Type.String(
      notes({
        group: MONEY,
        pattern: '^\\d{4}-\\d\\d-\\d\\d$',
        unit: 'date, such as 2026-01-31',
        unset: 'only coins that come from now on',
        description:
          'Day from which the chain is searched for older coins of MULTISIG_DESCRIPTOR, when the node first watches it',
      }),
    ),
  ),
  signer_sockets: Type.Optional(
    Type.Array(
      Type.String({ minLength: 1, maxLength: 107 }),
      notes({
        group: MONEY,
        minItems: 1,
        maxItems: 16,
        unit: 'Unix socket paths, comma-separated',
        unset: 'people sign (millrace payout psbt, sign)',
        description: 'Signers (millrace signer) that are asked for their signature to each multisig payout',
      }),
    ),
  ),
  ...LIGHTNING_SETTINGS,
};
