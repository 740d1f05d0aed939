// `millrace payout`: what is being paid, what would be paid next, and what people decide about it: requests, approvals,
// signatures, addresses in quarantine, cancellations. Called through commands.ts.
import { writeFileSync } from 'node:fs';
import { LightningPayments } from '../../storage/postgres/lightning-payments.js';
import { cancelPlanned, orderLightning, quarantinedFor } from '../../storage/postgres/payout-orders.js';
import { dailyUse, handedIn, latestSweeps, lightningAccounts } from '../../storage/postgres/payout-status.js';
import { PayoutStore } from '../../storage/postgres/payout-store.js';
import { payoutTerms } from '../payout-rails.js';
import { parseLightningAddress } from '../payouts/lightning/lightning-address.js';
import { jsonLine } from './account-text.js';
import type { CommandDatabase } from './database.js';
import { dryRun } from './payout-dry-run.js';
import { signPayout } from './payout-signatures.js';
import { dryRunText, type StatusPicture, statusOf, statusText } from './payout-text.js';
import {
  AUTHORITY_FLAGS,
  AUTHORITY_HELP,
  canonicalName,
  readAuthority,
  readId,
  readKey,
  readLimit,
  readSats,
  runSubcommand,
  type Subcommand,
  TEXT_FLAG,
  UsageError,
  type Values,
} from './subcommands.js';

const LAST_DEFAULT = 10;
const LIGHTNING_MAX = 1000;
const KEY_CHARACTERS_MAX = 100;

const INTRO = ['Payouts: what is on its way, what comes next, and what waits for people.'];

const SUBCOMMANDS: Readonly<Record<string, Subcommand>> = {
  status: {
    help: [
      'millrace payout status: open payouts and what they wait for, the last ones, addresses in quarantine, sweeps',
      '',
      `  --limit N        of the last ones [${LAST_DEFAULT}]`,
    ],
    flags: { limit: TEXT_FLAG },
    words: [],
    run: showStatus,
  },
  plan: {
    help: [
      'millrace payout plan: who would be paid how much now, by which rule, at what fee; plans nothing',
      '',
      'What is planned or reserved already is not in it. The fee is the estimate of the node in BITCOIN_RPC_URL, and',
      'FEE_RATE_MIN where none is set.',
    ],
    flags: {},
    words: [],
    run: async (_, values, { config, database }) => {
      const plan = await dryRun(database, config);
      return values.json === true ? jsonLine(plan) : dryRunText(plan, config);
    },
  },
  request: {
    help: [
      'millrace payout request ACCOUNT: pays one account now, whatever its threshold and schedule',
      '',
      '  --sats N         whole satoshis [all that is free]',
      '  --key K          names this wish: the same key twice is one payout',
    ],
    flags: { sats: TEXT_FLAG, key: TEXT_FLAG },
    words: ['ACCOUNT'],
    run: request,
  },
  approve: {
    help: [
      'millrace payout approve ID: one of the two people that a payout above PAYOUT_APPROVAL_ABOVE needs',
      '',
      ...AUTHORITY_HELP,
    ],
    flags: AUTHORITY_FLAGS,
    words: ['ID'],
    run: approve,
  },
  psbt: {
    help: [
      'millrace payout psbt ID: the transaction to be signed (BIP174, base64)',
      '',
      '  --out FILE       write it there instead; a file that exists is not touched',
    ],
    flags: { out: TEXT_FLAG },
    words: ['ID'],
    run: exportPsbt,
  },
  sign: {
    help: [
      'millrace payout sign ID FILE...: hands in signed copies of the PSBT, base64 or binary',
      '',
      'Each is checked to be of that very transaction. When the signatures suffice, the pool sends it.',
    ],
    flags: {},
    words: ['ID', 'FILE...'],
    run: async ([id, ...files], values, pool) => {
      const signed = await signPayout(pool, readId(id), files);
      return values.json === true ? jsonLine(signed) : signed.text;
    },
  },
  release: {
    help: [
      'millrace payout release ADDRESS: pays an address again that was put in quarantine',
      '',
      ...AUTHORITY_HELP,
    ],
    flags: AUTHORITY_FLAGS,
    words: ['ADDRESS'],
    run: release,
  },
  cancel: {
    help: [
      'millrace payout cancel ID: gives up a payout for which no coins are reserved yet',
      '',
      ...AUTHORITY_HELP,
    ],
    flags: AUTHORITY_FLAGS,
    words: ['ID'],
    run: cancel,
  },
  lightning: {
    help: [
      'millrace payout lightning ACCOUNT: pays an account by Lightning, or on the chain again',
      '',
      '  --to USER@DOMAIN  its Lightning address',
      '  --off             on the chain again',
      ...AUTHORITY_HELP,
    ],
    flags: { to: TEXT_FLAG, off: { type: 'boolean' }, ...AUTHORITY_FLAGS },
    words: ['ACCOUNT'],
    run: setLightning,
  },
};

/** Runs `argv` (what follows `payout`) and returns the exit code. */
export async function payout(argv: readonly string[]): Promise<number> {
  return await runSubcommand('payout', INTRO, SUBCOMMANDS, argv);
}

async function showStatus(
  _: readonly string[],
  values: Values,
  { config, database }: CommandDatabase,
): Promise<string> {
  const store = new PayoutStore(database);
  const lightning = new LightningPayments(database);
  const limit = readLimit(values.limit, LAST_DEFAULT);
  const open = await store.openPayouts();
  const signatures = await handedIn(
    database,
    open.map(({ id }) => id),
  );
  const latest = await store.latestPayouts(limit);
  const now = new Date();
  const picture: StatusPicture = {
    open: open.map((each) => statusOf(each, signatures.get(each.id) ?? [], config, now)),
    latest: latest
      .filter(({ status }) => status === 'confirmed' || status === 'failed')
      .map(({ rawTransaction, psbt, versions, ...facts }) => facts),
    lightningOpen: await lightning.openPayments(now, LIGHTNING_MAX),
    lightningLatest: (await lightning.latestPayments(limit)).filter(
      ({ status }) => status === 'paid' || status === 'failed',
    ),
    lightningAccounts: await lightningAccounts(database),
    quarantined: await store.people.quarantined(),
    sweeps: await latestSweeps(database, limit),
    dailyCapSats: config.payoutDailyMaxSats,
    dailyUse: await dailyUse(database),
  };
  return values.json === true ? jsonLine(picture) : statusText(picture, config, now);
}

async function request(
  [written = '']: readonly string[],
  values: Values,
  { config, database }: CommandDatabase,
): Promise<string> {
  const account = canonicalName(written, config.network);
  const terms = payoutTerms(config);
  const answer = await new PayoutStore(database).requestPayout({
    account,
    amountSats: values.sats === undefined ? null : readSats('--sats', values.sats),
    key: readKey(values.key, KEY_CHARACTERS_MAX),
    minimumSats: terms.minimumSats,
    limits: terms,
  });
  if (answer.kind === 'refused') throw new Error(answer.message);
  if (values.json === true) return jsonLine({ account, ...answer });
  const { status } = await new PayoutStore(database).payout(answer.payoutId);
  return (
    `Payout ${answer.payoutId} of ${answer.amountSats} sat to ${account} is ${status}. ` +
    (status === 'awaiting_approval'
      ? `Two people must agree: millrace payout approve ${answer.payoutId}`
      : 'The pool goes on with it by itself; millrace payout status follows it')
  );
}

async function approve([id]: readonly string[], values: Values, pool: CommandDatabase): Promise<string> {
  const { people, ...rest } = await findPayout(pool, id);
  const { actor, reason } = readAuthority(values);
  const { payout: before } = rest;
  const hadAgreed = before.approvedBy.includes(actor.trim().toLowerCase());
  if (hadAgreed && before.status !== 'awaiting_approval') {
    const done = { approvals: before.approvedBy.length, needed: before.approvalsNeeded };
    if (values.json === true) return jsonLine({ id: before.id, ...done });
    return `${actor} agreed to payout ${before.id} before, and it is ${before.status}: nothing changed.`;
  }
  const { approvals, needed } = await people.approve(before.id, actor, reason);
  if (values.json === true) return jsonLine({ id: before.id, approvals, needed });
  const what = hadAgreed ? 'agreed before: nothing changed' : 'agrees';
  return (
    `${actor} ${what}. Payout ${before.id} has the agreement of ${approvals} of ${needed} people. ` +
    (approvals >= needed
      ? 'The pool sends it by itself'
      : 'Another person must agree: the same name counts once')
  );
}

async function exportPsbt([id]: readonly string[], values: Values, pool: CommandDatabase): Promise<string> {
  const { payout: found } = await findPayout(pool, id);
  if (found.psbt === null) {
    throw new Error(
      `payout ${found.id} is ${found.status}: it has no PSBT. One is made when a multisig is to pay (MULTISIG_DESCRIPTOR)`,
    );
  }
  const { out } = values;
  if (typeof out === 'string') {
    try {
      writeFileSync(out, `${found.psbt}\n`, { flag: 'wx' });
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw new Error(
        code === 'EEXIST' ? `${out} exists and is not touched. Name another file` : `--out ${message}`,
      );
    }
  }
  if (values.json === true) return jsonLine({ id: found.id, status: found.status, psbt: found.psbt });
  if (typeof out !== 'string') return found.psbt;
  return `Wrote the PSBT of payout ${found.id} to ${out}. Sign it, then: millrace payout sign ${found.id} FILE`;
}

async function release(
  [written = '']: readonly string[],
  values: Values,
  { config, database }: CommandDatabase,
): Promise<string> {
  const authority = readAuthority(values);
  const { people } = new PayoutStore(database);
  const released: string[] = [];
  const forms = new Set([written, canonicalName(written, config.network)]);
  for (const address of forms) {
    for (const account of await quarantinedFor(database, address)) {
      if (await people.liftQuarantine(account, address, authority.actor, authority.reason)) {
        released.push(account);
      }
    }
  }
  if (values.json === true) return jsonLine({ address: written, released });
  if (released.length === 0) {
    return `${written} is in no quarantine: nothing changed. millrace payout status lists those that are`;
  }
  return `Released ${written} of ${released.join(', ')}: the next payout run may pay it.`;
}

async function cancel([written]: readonly string[], values: Values, pool: CommandDatabase): Promise<string> {
  const id = readId(written);
  const outcome = await cancelPlanned(pool.database, id, readAuthority(values));
  if (values.json === true) return jsonLine({ id, outcome });
  return outcome === 'already'
    ? `Payout ${id} was given up before: nothing changed.`
    : `Cancelled payout ${id}: its amounts are free in the balances. The next run plans accounts again that are due.`;
}

async function setLightning(
  [written = '']: readonly string[],
  values: Values,
  { config, database }: CommandDatabase,
): Promise<string> {
  const { to, off } = values;
  if ((to === undefined) !== (off === true)) throw new UsageError('Either --to USER@DOMAIN or --off');
  const destination = typeof to === 'string' ? to : null;
  if (destination !== null) parseLightningAddress(destination);
  const account = canonicalName(written, config.network);
  const outcome = await orderLightning(database, account, destination, readAuthority(values));
  if (values.json === true) return jsonLine({ account, destination, outcome });
  const where = destination === null ? 'on the chain' : `by Lightning to ${destination}`;
  const warning =
    destination !== null && config.lightning === null
      ? ' No Lightning node is set (LND_URL or CLN_URL): until then it is not paid at all.'
      : '';
  return outcome === 'already'
    ? `${account} is paid ${where} already: nothing changed.${warning}`
    : `${account} is paid ${where} from now on.${warning}`;
}

async function findPayout({ database }: CommandDatabase, id: string | undefined) {
  const store = new PayoutStore(database);
  return { people: store.people, payout: await store.payout(readId(id)) };
}
