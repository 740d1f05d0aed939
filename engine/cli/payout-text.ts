// What `millrace payout` prints for people: each open payout with what it waits for and what ends the wait.
import type { LightningPayment } from '../../storage/postgres/lightning-payments.js';
import type { QuarantinedAddress } from '../../storage/postgres/payout-approvals.js';
import type { DailyUse, SweepRow } from '../../storage/postgres/payout-status.js';
import type { Payout, PayoutStatus } from '../../storage/postgres/payout-store.js';
import type { Config } from '../config/config.js';
import type { DryRun, PlannedPayee } from './payout-dry-run.js';

export interface OpenPayout {
  id: bigint;
  status: PayoutStatus;
  requestKey: string;
  plannedAt: Date;
  ageS: number;
  sats: bigint;
  payees: number;
  txid: string | null;
  networkFeeSats: bigint | null;
  /** Transactions that replaced the first one. */
  replacements: number;
  waitsFor: string;
  cure: string;
}

export interface StatusPicture {
  open: OpenPayout[];
  /** Settled ones, newest first. */
  latest: Omit<Payout, 'rawTransaction' | 'psbt' | 'versions'>[];
  lightningOpen: LightningPayment[];
  lightningLatest: LightningPayment[];
  /** Accounts that are paid by Lightning. */
  lightningAccounts: number;
  quarantined: QuarantinedAddress[];
  /** Newest first. */
  sweeps: SweepRow[];
  /** Null: no cap. */
  dailyCapSats: bigint | null;
  dailyUse: DailyUse;
}

/** `handedIn`: key holders whose signed copies are there. */
export function statusOf(payout: Payout, handedIn: readonly string[], config: Config, now: Date): OpenPayout {
  const { id, status, requestKey, plannedAt, txid, networkFeeSats } = payout;
  return {
    ...{ id, status, requestKey, plannedAt, txid, networkFeeSats },
    ageS: Math.max(0, Math.round((now.getTime() - plannedAt.getTime()) / 1000)),
    sats: satsOf(payout),
    payees: payout.outputs.length,
    replacements: Math.max(0, payout.versions.length - 1),
    ...waitOf(payout, handedIn, config),
  };
}

function waitOf(
  payout: Payout,
  handedIn: readonly string[],
  { fees }: Config,
): Pick<OpenPayout, 'waitsFor' | 'cure'> {
  const { id, approvedBy, approvalsNeeded } = payout;
  switch (payout.status) {
    case 'awaiting_approval':
      if (approvedBy.length >= approvalsNeeded) break;
      return {
        waitsFor: `the agreement of ${approvalsNeeded} people, ${approvedBy.length === 0 ? 'none' : approvedBy.join(', ')} so far`,
        cure: `millrace payout approve ${id} --actor NAME --reason TEXT`,
      };
    case 'awaiting_signatures': {
      const so = handedIn.length === 0 ? 'none' : handedIn.join(', ');
      return {
        waitsFor: `signatures: ${payout.signaturesNeeded ?? 1} were needed, ${so} handed in`,
        cure: `millrace payout psbt ${id} --out FILE, have it signed, millrace payout sign ${id} FILE`,
      };
    }
    case 'signed':
      return {
        waitsFor: 'a node that takes it',
        cure: 'none: the pool broadcasts it by itself while it runs',
      };
    case 'broadcast':
      return {
        waitsFor: 'its confirmation in the chain',
        cure:
          fees.bumpAfterBlocks === 0
            ? 'none: its fee is never raised (FEE_BUMP_AFTER)'
            : `none: after ${fees.bumpAfterBlocks} blocks it is replaced at a higher fee`,
      };
    default:
      break;
  }
  return {
    waitsFor: `the pool's next step, fees of ${fees.waitAbove} sat/vB or less, coins that can be spent, the daily cap`,
    cure: 'none, if the pool runs: its log says under payout_waiting which one it is',
  };
}

export function statusText(picture: StatusPicture, config: Config, now: Date): string {
  const { open, latest, quarantined, sweeps, dailyUse, dailyCapSats } = picture;
  const { lightningOpen, lightningLatest } = picture;
  const used = dailyUse.onChainSats + dailyUse.lightningSats;
  return [
    ...(open.length === 0 ? ['no payout is open'] : ['open payouts']),
    ...open.flatMap((payout) => [
      `  ${payout.id}  ${payout.status}  ${payout.sats} sat to ${payout.payees} payee(s), planned ${ageText(payout.ageS)} ago` +
        (payout.txid === null ? '' : `, ${payout.txid}`) +
        (payout.replacements === 0 ? '' : `, replaced ${payout.replacements} time(s)`),
      `      waits for ${payout.waitsFor}`,
      `      cure: ${payout.cure}`,
    ]),
    ...lightningOpen.flatMap((payment) => [
      `  Lightning ${payment.id}  ${payment.status}  ${payment.sentSats} sat to ${shortened(payment.destination)} of ${payment.account}`,
      `      waits for ${lightningWait(payment)}`,
    ]),
    ...(latest.length === 0 ? [] : ['last payouts']),
    ...latest.map((payout) => {
      const what =
        payout.status === 'confirmed'
          ? `confirmed ${payout.confirmedAt?.toISOString() ?? ''}  ${payout.txid}  fee ${payout.networkFeeSats} sat`
          : `failed: ${payout.reason}`;
      return `  ${payout.id}  ${satsOf(payout)} sat to ${payout.outputs.length} payee(s)  ${what}`;
    }),
    ...lightningLatest.map(
      (payment) =>
        `  Lightning ${payment.id}  ${payment.sentSats} sat to ${payment.account}  ` +
        (payment.status === 'paid' ? `paid, fee ${payment.feeMsat} msat` : `failed: ${payment.reason}`),
    ),
    ...(quarantined.length === 0 ? [] : ['addresses in quarantine']),
    ...quarantined.flatMap(({ account, address, reason, cure, since }) => [
      `  ${address} of ${account}, ${ageText((now.getTime() - since.getTime()) / 1000)}: ${reason}`,
      `      cure: ${cure} (millrace payout release ${address})`,
    ]),
    ...(sweeps.length === 0 ? [] : ['sweeps to the cold wallet']),
    ...sweeps.map(
      ({ id, status, sentSats, address, txid, reason }) =>
        `  ${id}  ${status}  ${sentSats} sat to ${address}${txid === null ? '' : `  ${txid}`}${reason === '' ? '' : `  ${reason}`}`,
    ),
    `within 24 hours ${used} sat were reserved` +
      (dailyCapSats === null
        ? '; there is no daily cap (PAYOUT_DAILY_MAX)'
        : ` of the ${dailyCapSats} that the daily cap allows`),
    ...(picture.lightningAccounts > 0 && config.lightning === null
      ? [
          `${picture.lightningAccounts} account(s) are to be paid by Lightning, and no node is set: they are not paid. ` +
            'Set LND_URL or CLN_URL, or millrace payout lightning ACCOUNT --off',
        ]
      : []),
  ].join('\n');
}

function lightningWait({ status, failures, reason, attempt }: LightningPayment): string {
  const before = failures === 0 ? '' : ` after ${failures} failure(s), the last: ${reason}`;
  switch (status) {
    case 'sent':
      return `the word of Lightning node ${attempt?.nodeId ?? '?'} on what became of it${before}`;
    case 'invoiced':
      return `the pool to hand its invoice to the Lightning node${before}`;
    default:
      return `an invoice${before}`;
  }
}

export function dryRunText(plan: DryRun, config: Config): string {
  const { transactions, lightning, balances, fee, isEstimate } = plan;
  const paid =
    transactions.reduce((sum, { sats }) => sum + sats, 0n) +
    lightning.reduce((sum, { sats }) => sum + sats, 0n);
  const rate =
    `${fee.feeRateSatPerVb} sat/vB, ` +
    (isEstimate ? "the node's estimate" : 'the lowest allowed: no node of BITCOIN_RPC_URL told its estimate');
  const payer = config.fees.paidBy === 'pool' ? 'the pool pays it' : 'payees pay it by weight';
  return [
    ...(transactions.length + lightning.length === 0 ? ['nobody would be paid now'] : []),
    ...transactions.flatMap(({ payees, sats, needsApproval, vbytes, feeSats }, index) => [
      `transaction ${index + 1}: ${sats} sat to ${payees.length} output(s)` +
        (needsApproval
          ? `, above ${config.payoutApprovalAboveSats} sat: two people must agree (millrace payout approve)`
          : ''),
      `  fee about ${feeSats} sat for ${vbytes} vB with one input, 68 vB for each further one; ${rate}; ${payer}`,
      ...(fee.kind === 'wait'
        ? [
            `  it would wait for ${config.fees.waitAbove} sat/vB or less, until ${new Date(fee.untilMs).toISOString()}`,
          ]
        : []),
      ...payees.map(
        (payee) =>
          `  ${payee.sats} sat  ${payee.account}${payee.address === payee.account ? '' : ` at ${payee.address}`}  ${ruleText(payee, config)}`,
      ),
    ]),
    ...(lightning.length === 0 ? [] : ['by Lightning']),
    ...lightning.map(
      (payee) =>
        `  ${payee.sats} sat  ${payee.account} at ${payee.destination}, routing at most ${payee.maxFeeSats} sat  ${ruleText(payee, config)}`,
    ),
    `${balances.accounts} account(s) hold ${balances.sats} sat confirmed; ${paid} would be paid, the rest is carried forward`,
  ].join('\n');
}

const SCHEDULES = { each_run: 'each run', daily: 'daily', weekly: 'weekly', on_demand: 'on demand' };

function ruleText(
  { balanceSats, thresholdSats, schedule }: Pick<PlannedPayee, 'balanceSats' | 'thresholdSats' | 'schedule'>,
  config: Config,
): string {
  const threshold =
    thresholdSats === null
      ? `the pool's threshold of ${config.autoPayoutThresholdSats}`
      : `its threshold of ${thresholdSats}`;
  return `(balance ${balanceSats} reached ${threshold}; ${SCHEDULES[schedule ?? 'each_run']})`;
}

function satsOf({ outputs }: Pick<Payout, 'outputs'>): bigint {
  return outputs.reduce((sum, { amountSats }) => sum + amountSats, 0n);
}

function ageText(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172_800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} days`;
}

function shortened(destination: string): string {
  return destination.length <= 60 ? destination : `${destination.slice(0, 57)}...`;
}
