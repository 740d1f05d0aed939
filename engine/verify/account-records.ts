// Names of accounts, and what they had chosen at a moment: as they stand now, less what the audit log says was changed
// since.
import type { Database } from '../../storage/postgres/connection.js';
import type { ShortSlices } from './short-slices.js';

/** Values that a setting had around a moment; null is the pool's. Usually one. */
export interface ChosenAt {
  feePpm: Set<number | null>;
  donationPpm: Set<number | null>;
  scheme: Set<string | null>;
}

type Setting = keyof ChosenAt;

const SETTINGS: readonly Setting[] = ['feePpm', 'donationPpm', 'scheme'];
/** A change and a credit in the same minute may have been committed in either order. */
const AROUND_MS = 60_000;
const PAGE_ACCOUNTS = 200;

/** Text as Postgres stores the names of accounts: no NUL, no lone surrogates, at most 256 characters. */
export function storedName(name: string): string {
  return name.slice(0, 256).replace(/\0|\p{Surrogate}/gu, '\uFFFD');
}

/** Id of each name, as raw shares have it; a name that is no account is not in it. */
export async function accountIds(
  database: Database,
  names: Iterable<string>,
  slices: ShortSlices,
): Promise<Map<string, number>> {
  const wanted = [...new Set(names)];
  const ids = new Map<string, number>();
  for (let from = 0; from < wanted.length; from += PAGE_ACCOUNTS) {
    const page = wanted.slice(from, from + PAGE_ACCOUNTS);
    const rows = await database<{ id: number; name: string }[]>`
      select id, name from accounts where name = any(${page.map(storedName)}::text[])`;
    slices.begin();
    const byName = new Map(rows.map(({ id, name }) => [name, id]));
    for (const name of page) {
      const id = byName.get(storedName(name));
      if (id !== undefined) ids.set(name, id);
    }
  }
  return ids;
}

export async function accountNames(
  database: Database,
  accountIds: Iterable<number>,
  slices: ShortSlices,
): Promise<Map<number, string>> {
  const wanted = [...new Set(accountIds)];
  const names = new Map<number, string>();
  for (let from = 0; from < wanted.length; from += PAGE_ACCOUNTS) {
    const rows = await database<{ id: number; name: string }[]>`
      select id, name from accounts where id = any(${wanted.slice(from, from + PAGE_ACCOUNTS)}::integer[])`;
    slices.begin();
    for (const { id, name } of rows) names.set(id, name);
  }
  return names;
}

/** What each account had chosen around `at`. */
export async function chosenAround(
  database: Database,
  accountIds: Iterable<number>,
  at: Date,
  slices: ShortSlices,
): Promise<Map<number, ChosenAt>> {
  const wanted = [...new Set(accountIds)];
  const chosen = new Map<number, ChosenAt>();
  for (let from = 0; from < wanted.length; from += PAGE_ACCOUNTS) {
    const rows = await database<
      {
        id: number;
        name: string;
        feePpm: number | null;
        donationPpm: number | null;
        scheme: string | null;
      }[]
    >`
      select id, name, fee_ppm as "feePpm", donation_ppm as "donationPpm", scheme
      from accounts where id = any(${wanted.slice(from, from + PAGE_ACCOUNTS)}::integer[])`;
    const changes = await readChanges(
      database,
      rows.map(({ name }) => name),
      new Date(at.getTime() - AROUND_MS),
    );
    slices.begin();
    for (const { id, name, ...now } of rows) {
      chosen.set(id, settingsAround(now, changes.get(name) ?? [], at.getTime() + AROUND_MS));
      await slices.pause();
    }
  }
  return chosen;
}

interface Change {
  at: Date;
  inputs: Record<string, { before: unknown; after: unknown } | undefined>;
}

async function readChanges(database: Database, names: string[], since: Date): Promise<Map<string, Change[]>> {
  const rows = await database<(Change & { subject: string })[]>`
    select subject, at, inputs from audit_log
    where action = 'account_settings' and subject = any(${names}::text[]) and at > ${since} order by id`;
  const changes = new Map<string, Change[]>();
  for (const row of rows) {
    const list = changes.get(row.subject);
    if (list === undefined) changes.set(row.subject, [row]);
    else list.push(row);
  }
  return changes;
}

/** `changes`: those after the moment, oldest first; of the ones until `untilMs` both sides hold. */
function settingsAround(
  now: Record<Setting, unknown>,
  changes: readonly Change[],
  untilMs: number,
): ChosenAt {
  const around = { feePpm: new Set(), donationPpm: new Set(), scheme: new Set() };
  for (const setting of SETTINGS) {
    const own = changes.filter(({ inputs }) => inputs[setting] !== undefined);
    const [first] = own;
    around[setting].add(first === undefined ? now[setting] : first.inputs[setting]?.before);
    for (const { at, inputs } of own) {
      if (at.getTime() <= untilMs) around[setting].add(inputs[setting]?.after);
    }
  }
  return around as ChosenAt;
}
