// `millrace account`: what an account has and chose, and where it is paid to. Addresses change by a message that the owner
// signs with the present one; the rest is the operator's, who says who he is and why. Called through commands.ts.
import { parseArgs } from 'node:util';
import { AccountSettingsStore } from '../../storage/postgres/account-settings.js';
import type { Authority } from '../../storage/postgres/audit-log.js';
import { explainPostgresError } from '../../storage/postgres/connection.js';
import { PayoutAddressStore } from '../../storage/postgres/payout-addresses.js';
import { addressFromScript, scriptFromAddress } from '../bitcoin/address.js';
import type { NetworkName } from '../bitcoin/networks.js';
import { type AccountPicture, accountText, changeTextOf, jsonLine, settingsText } from './account-text.js';
import { readSettings, readTargets, type Values } from './account-values.js';
import { EXIT_USAGE } from './commands.js';
import { type CommandDatabase, openCommandDatabase } from './database.js';
import { POOL_HELP, POOL_OPTIONS } from './running-stores.js';

const EXIT_FAULT = 1;

const AUTHORITY = [
  '  --actor NAME     who does this; kept in the audit log',
  '  --reason TEXT    why; kept in the audit log',
];
const JSON_FLAG = '  --json           one JSON object instead of text; satoshis as strings';
const TO = '  --to ADDR[=PERCENT]  up to 20 times; one may go without a percentage and takes the rest';

const HELP: Readonly<Record<string, readonly string[]>> = {
  account: [
    'What an account has and chose, and where it is paid to.',
    '',
    '  millrace account show NAME      balances, settings, addresses, pending change, notices',
    '  millrace account message NAME   the text to sign for new payout addresses',
    '  millrace account propose NAME   hands in the signature; the change holds after a delay',
    '  millrace account cancel NAME    the text that cancels a change, or the cancellation',
    '  millrace account first NAME     the first address of an account that has none',
    '  millrace account set NAME       scheme, fee, donation, payout threshold',
    '',
    'Each has a --help of its own. NAME is the account name or the address a miner uses.',
  ],
  show: ['millrace account show NAME: all the pool keeps about an account.', '', JSON_FLAG],
  message: [
    'millrace account message NAME: prints the text that the owner signs to be paid elsewhere.',
    '',
    'It is one line; sign exactly that line with the address it names (BIP322, or signmessage for addresses that',
    'begin with 1, m or n), within 24 hours. Then: millrace account propose NAME --signature S',
    '',
    TO,
    JSON_FLAG,
  ],
  propose: [
    'millrace account propose NAME --signature S: the owner wants to be paid elsewhere, and signed the text for it.',
    '',
    'The new addresses hold after 48 hours. Until then the owner may cancel, or sign a newer text. Payouts that are',
    'planned already go to the old address.',
    '',
    '  --signature S    base64',
    JSON_FLAG,
  ],
  cancel: [
    'millrace account cancel NAME: keeps an account paid where it is, while a change waits.',
    '',
    'Without flags it prints the text that the owner signs; with --signature it cancels. An operator who cancels for',
    'the owner says so with --actor and --reason.',
    '',
    '  --signature S    base64',
    ...AUTHORITY,
    JSON_FLAG,
  ],
  first: [
    'millrace account first NAME: where an account is paid to whose name is no address and that has none yet.',
    '',
    'It holds after 48 hours. From then on only a message signed with the first address changes it.',
    '',
    TO,
    ...AUTHORITY,
    JSON_FLAG,
  ],
  set: [
    'millrace account set NAME: what differs from the pool for this account. "default" goes back to the pool\'s.',
    '',
    '  --scheme NAME        pplns, solo, pps, ppsplus or fpps; of shares to come',
    '  --fee PERCENT        0 exempts it',
    '  --donation PERCENT   of what is left after the fee',
    '  --threshold SATS     payout from this balance on',
    ...AUTHORITY,
    JSON_FLAG,
  ],
};

const TEXT = { type: 'string' } as const;
const FLAGS: Readonly<Record<string, Record<string, { type: 'string' | 'boolean'; multiple?: boolean }>>> = {
  show: {},
  message: { to: { type: 'string', multiple: true } },
  propose: { signature: TEXT },
  cancel: { signature: TEXT, actor: TEXT, reason: TEXT },
  first: { to: { type: 'string', multiple: true }, actor: TEXT, reason: TEXT },
  set: { ...{ scheme: TEXT, fee: TEXT, donation: TEXT, threshold: TEXT }, actor: TEXT, reason: TEXT },
};

/** Runs `argv` (what follows `account`) and returns the exit code. Never throws for what an operator can get wrong. */
export async function account(argv: readonly string[]): Promise<number> {
  const [command = '', ...rest] = argv;
  const flags = Object.hasOwn(FLAGS, command) ? FLAGS[command] : undefined;
  if (flags === undefined) {
    const asked = command === '--help';
    (asked ? process.stdout : process.stderr).write(`${HELP.account?.join('\n')}\n`);
    return asked ? 0 : EXIT_USAGE;
  }
  let values: Values;
  let name: string;
  try {
    const parsed = parseArgs({
      args: rest,
      options: { ...POOL_OPTIONS, ...flags, json: { type: 'boolean' }, help: { type: 'boolean' } },
      allowPositionals: true,
    });
    values = parsed.values as Values;
    if (values.help === true) {
      process.stdout.write(`${[...(HELP[command] ?? []), ...POOL_HELP].join('\n')}\n`);
      return 0;
    }
    name = requireName(parsed.positionals);
  } catch (error) {
    process.stderr.write(
      `${(error as Error).message}\nmillrace account ${command} --help lists the flags.\n`,
    );
    return EXIT_USAGE;
  }
  let opened: CommandDatabase | undefined;
  try {
    opened = await openCommandDatabase(values);
    const output = await run(command, canonicalName(name, opened.config.network), values, opened);
    process.stdout.write(`${output}\n`);
    return 0;
  } catch (error) {
    const fromPostgres = (error as Error).name === 'PostgresError';
    process.stderr.write(`${fromPostgres ? explainPostgresError(error) : (error as Error).message}\n`);
    return EXIT_FAULT;
  } finally {
    await opened?.close();
  }
}

async function run(command: string, name: string, values: Values, pool: CommandDatabase): Promise<string> {
  const { database, config } = pool;
  const addresses = new PayoutAddressStore(database, { network: config.network });
  const json = values.json === true;
  const signature = values.signature as string | undefined;
  switch (command) {
    case 'show': {
      const picture = await readPicture(name, pool, addresses);
      return json ? jsonLine(picture) : accountText(picture);
    }
    case 'message': {
      const asked = await addresses.askChange(name, readTargets(values.to));
      return json ? jsonLine(asked) : asked.text;
    }
    case 'propose': {
      if (signature === undefined)
        throw new Error('--signature is missing: the owner signs the text of account message');
      const change = await addresses.propose(name, signature.trim());
      return json ? jsonLine(change) : changeTextOf(name, change);
    }
    case 'cancel': {
      if (signature === undefined && values.actor === undefined && values.reason === undefined) {
        const asked = await addresses.askCancel(name);
        return json ? jsonLine(asked) : asked.text;
      }
      if (signature !== undefined && (values.actor ?? values.reason) !== undefined) {
        throw new Error(
          'Either the owner cancels (--signature) or an operator does (--actor, --reason), not both',
        );
      }
      const change =
        signature === undefined
          ? await addresses.cancelByOperator(name, readAuthority(values))
          : await addresses.cancel(name, signature.trim());
      return json ? jsonLine({ cancelled: change }) : `Cancelled: account ${name} stays paid where it is.`;
    }
    case 'first': {
      const change = await addresses.nameFirst(name, readTargets(values.to), readAuthority(values));
      return json ? jsonLine(change) : changeTextOf(name, change);
    }
    default: {
      const settings = readSettings(values, config.minPayoutSats);
      const after = await new AccountSettingsStore(database).change(name, settings, readAuthority(values));
      return json ? jsonLine(after) : settingsText(after);
    }
  }
}

async function readPicture(
  name: string,
  { database, config }: CommandDatabase,
  addresses: PayoutAddressStore,
): Promise<AccountPicture> {
  const history = await addresses.history(name);
  const settings = await new AccountSettingsStore(database).read(name);
  const [balances] = await database<{ immatureSats: bigint; confirmedSats: bigint; inFlightSats: bigint }[]>`
    select immature_sats as "immatureSats", confirmed_sats as "confirmedSats", in_flight_sats as "inFlightSats"
    from account_balances where name = ${name}`;
  if (settings === null || balances === undefined)
    throw new Error(`account ${name} never mined here. Check the name`);
  return { account: name, network: config.network, ...balances, settings, ...history };
}

function requireName(positionals: readonly string[]): string {
  const [name, ...more] = positionals;
  if (name === undefined) throw new Error('The name of the account is missing');
  if (more.length > 0) throw new Error(`One account at a time: ${JSON.stringify(more[0])} is too many`);
  return name;
}

/** Accounts are kept under the canonical form of an address. */
function canonicalName(name: string, network: NetworkName): string {
  try {
    return addressFromScript(scriptFromAddress(name, network), network) ?? name;
  } catch {
    return name;
  }
}

function readAuthority({ actor, reason }: Values): Authority {
  if (typeof actor !== 'string' || actor === '') throw new Error('--actor is missing: who does this?');
  if (typeof reason !== 'string' || reason === '') throw new Error('--reason is missing: why is this done?');
  return { actor, reason };
}
