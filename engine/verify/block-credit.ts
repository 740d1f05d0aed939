// Recomputes the credit of a block: its window from the raw shares, its lines from the window, the terms and the coinbase.
import { blockSubsidy } from '../bitcoin/subsidy.js';
import { difficultyFromTarget } from '../bitcoin/target.js';
import { accountIds, accountNames, chosenAround } from './account-records.js';
import { type SplitPart, splitLines } from './block-split.js';
import { readPlan, withoutDirect } from './coinbase-plan.js';
import { bigintOf, type CheckStores, compareLines, unnamedSchemes } from './credit-check.js';
import { Fraction } from './fraction.js';
import {
  addLine,
  type Credit,
  type Lines,
  readLines,
  readWindowEntries,
  type WindowEntry,
} from './ledger-credits.js';
import { gapInRanges, gapInWindow } from './raw-gaps.js';
import { type RawWindow, rawFinder, rawWindow, type WindowEnd } from './raw-shares.js';
import { hashesFor, isScheme, type Scheme } from './scheme-rules.js';
import type { ShortSlices } from './short-slices.js';
import { type Terms, TermsCheck } from './terms-check.js';
import { type CreditVerdict, IncompleteError, InputDifferences } from './verdict.js';
import { bookedDifferences } from './window-explanation.js';

interface BlockRow {
  hash: string;
  height: number;
  node: number;
  seq: bigint;
  round: bigint;
  finderId: number;
  finder: string;
  foundAt: Date;
  networkTarget: bigint;
  subsidySats: bigint;
  feesSats: bigint;
}

interface Finder extends Terms {
  account: number;
  scheme: Scheme;
}

/** Work of one account under one scheme, as the raw shares have it: `share` of the window. */
interface RawPart {
  account: number;
  name: string;
  scheme: Scheme;
  work: bigint;
}

export async function verifyBlockCredit(
  stores: CheckStores,
  credit: Credit,
  slices: ShortSlices,
): Promise<CreditVerdict> {
  if (typeof credit.inputs.lost === 'string') return await verifyReturn(stores, credit, slices);
  const block = await readBlock(stores, credit);
  const recorded = credit.inputs.finder as Finder | undefined;
  if (recorded === undefined || !isScheme(recorded.scheme)) {
    throw new IncompleteError('its inputs name no schemes: an older Millrace posted it');
  }
  const plan = await readPlan(stores.database, credit);
  const end: WindowEnd = plan?.end ?? { round: block.round };
  const inputs = new InputDifferences();
  const { subsidySats, feesSats } = await checkCoinbase(stores, credit, block, inputs);
  const wanted = checkWindowLength(credit, block, inputs);
  const unnamed = await unnamedSchemes(stores, credit.postedAt, slices);
  const finder = await checkFinder(stores, block, recorded, unnamed, inputs);

  const entries = await readWindowEntries(stores.database, credit.id, slices);
  const window =
    finder.scheme === 'solo'
      ? NO_WINDOW
      : await rawWindow(stores.clickhouse, {
          wanted,
          end,
          foundS: Math.floor(block.foundAt.getTime() / 1000),
          unnamedSolo: [...unnamed].filter(([, scheme]) => scheme === 'solo').map(([name]) => name),
        });
  const parts = await nameParts(stores, window, unnamed, slices);
  await compareWindow(stores, credit, end, { window, parts, entries, inputs }, slices);

  const terms = await termsCheck(
    stores,
    plan?.madeAt ?? credit.postedAt,
    [finder.account, ...parts.map(({ account }) => account)],
    inputs,
    slices,
  );
  const split = await splitParts(finder, parts, entries, window, terms, slices);
  const whole = await splitLines(split, subsidySats, feesSats, slices);
  const lines = await withoutDirect(stores.database, block.hash, whole);
  return await compareLines(stores, credit, lines, inputs, slices);
}

const NO_WINDOW: RawWindow = { entries: [], factor: 1n, work: 0n, sinceS: null };

/** A block that a reorg took and gave back: the opposite of what its loss posted, on the immature side. */
async function verifyReturn(
  stores: CheckStores,
  credit: Credit,
  slices: ShortSlices,
): Promise<CreditVerdict> {
  const lost = await readLines(stores.database, String(credit.inputs.lost), slices);
  const inputs = new InputDifferences();
  if (lost.size === 0) inputs.add('the loss that it makes good', credit.inputs.lost, 'not in the ledger');
  const lines: Lines = new Map();
  for (const [key, sats] of lost) {
    await slices.pause();
    const [kind = '', id = ''] = key.split(' ');
    addLine(lines, immatureOf(kind), id === '' ? null : Number(id), -sats);
  }
  return await compareLines(stores, credit, lines, inputs, slices);
}

function immatureOf(kind: string): string {
  if (kind.endsWith('_immature') || kind === 'orphan_loss') return kind;
  if (kind === 'wallet') return 'coinbase_immature';
  return kind === 'miner_confirmed' ? 'miner_immature' : `${kind}_immature`;
}

async function readBlock({ database }: CheckStores, credit: Credit): Promise<BlockRow> {
  const [block] = await database<BlockRow[]>`
    select b.hash, b.height, b.node_id as node, b.seq, b.round, b.finder_account_id as "finderId", a.name as finder,
           b.found_at as "foundAt", b.network_target as "networkTarget",
           coalesce(b.subsidy_sats, 0)::bigint as "subsidySats", coalesce(b.fees_sats, 0)::bigint as "feesSats"
    from blocks b join accounts a on a.id = b.finder_account_id where b.hash = ${credit.blockHash}`;
  if (block === undefined) throw new IncompleteError(`block ${credit.blockHash} is not in Postgres`);
  return block;
}

/** What the block paid, by the node where there is one; subsidy by the schedule, all else fees. */
async function checkCoinbase(
  { coinbaseSats, network }: CheckStores,
  { inputs: recorded }: Credit,
  block: BlockRow,
  inputs: InputDifferences,
): Promise<{ subsidySats: bigint; feesSats: bigint }> {
  const ledger = bigintOf(recorded, 'coinbaseSats');
  const paid = (await coinbaseSats(block.hash)) ?? ledger;
  inputs.compare('coinbase of the block, by the node', ledger, paid);
  const allowed = blockSubsidy(block.height, network);
  const feesSats = paid > allowed ? paid - allowed : 0n;
  const subsidySats = paid - feesSats;
  inputs.compare('subsidy', recorded.subsidySats, subsidySats);
  inputs.compare('fees', recorded.feesSats, feesSats);
  inputs.compare('subsidy of the block row', block.subsidySats, subsidySats);
  inputs.compare('fees of the block row', block.feesSats, feesSats);
  return { subsidySats, feesSats };
}

/** In hashes: N x floor(2^256 / (target + 1)), N in thousandths, rounded down. */
function checkWindowLength({ inputs: recorded }: Credit, block: BlockRow, inputs: InputDifferences): bigint {
  inputs.compare('network target', recorded.networkTarget, block.networkTarget);
  const wanted = (bigintOf(recorded, 'windowPermille') * hashesFor(block.networkTarget)) / 1000n;
  inputs.compare('length of the window in hashes', recorded.windowWork, wanted);
  return wanted;
}

/** The account that found the block, by the raw share that did. */
async function checkFinder(
  { clickhouse, database }: CheckStores,
  block: BlockRow,
  recorded: Finder,
  unnamed: ReadonlyMap<string, string>,
  inputs: InputDifferences,
): Promise<Finder> {
  inputs.compare('account that found the block', recorded.account, block.finderId);
  const { node, seq } = block;
  const raw = await rawFinder(clickhouse, {
    node,
    seq,
    foundS: Math.floor(block.foundAt.getTime() / 1000),
  });
  if (raw === null) {
    const gap = await gapInRanges(clickhouse, database, [{ node, from: seq, to: seq + 1n }]);
    if (gap !== null) throw new IncompleteError(gap);
    inputs.add('share that found the block', `share ${seq} of node ${node}`, 'not in ClickHouse');
    return recorded;
  }
  const scheme = raw.scheme === '' ? (unnamed.get(raw.account) ?? recorded.scheme) : raw.scheme;
  inputs.compare('account that found the block', block.finder, raw.account);
  inputs.compare('scheme of the share that found the block', recorded.scheme, scheme, block.finder);
  inputs.compare('hash of the share that found the block', block.hash, raw.hash, block.finder);
  inputs.compare('round of the block', block.round, raw.round);
  inputs.compare('height of the block', block.height, raw.height);
  const difficulty = difficultyFromTarget(block.networkTarget);
  if (Math.abs(raw.network_difficulty - difficulty) > 1e-9 * difficulty) {
    inputs.add('network difficulty of the block', difficulty, raw.network_difficulty);
  }
  return { ...recorded, scheme: isScheme(scheme) ? scheme : recorded.scheme };
}

/** Raw work by account and scheme, under ids of accounts. */
async function nameParts(
  { database, defaultScheme }: CheckStores,
  window: RawWindow,
  unnamed: ReadonlyMap<string, string>,
  slices: ShortSlices,
): Promise<RawPart[]> {
  const ids = await accountIds(
    database,
    window.entries.map(({ account }) => account),
    slices,
  );
  const parts = new Map<string, RawPart>();
  for (const { account: name, scheme: named, work } of window.entries) {
    await slices.pause();
    const account = ids.get(name);
    if (account === undefined)
      throw new IncompleteError(`account ${name} has shares, and is not in Postgres`);
    const found = named === '' ? unnamed.get(name) : named;
    const scheme = isScheme(found) ? found : defaultScheme;
    const part = parts.get(`${account} ${scheme}`);
    if (part === undefined) parts.set(`${account} ${scheme}`, { account, name, scheme, work });
    else part.work += work;
  }
  return [...parts.values()];
}

interface Compared {
  window: RawWindow;
  parts: readonly RawPart[];
  entries: readonly WindowEntry[];
  inputs: InputDifferences;
}

/** Hashes of each account and scheme in the window, those of the ledger against the raw ones. */
async function compareWindow(
  stores: CheckStores,
  { inputs: recorded }: Credit,
  end: WindowEnd,
  { window, parts, entries, inputs }: Compared,
  slices: ShortSlices,
): Promise<void> {
  const total = bigintOf(recorded, 'totalWeight');
  const work = bigintOf(recorded, 'workInWindow');
  const own = new InputDifferences();
  own.compare('hashes in the window', work, window.work);
  const left = new Map(entries.map((entry) => [`${entry.account} ${entry.scheme}`, entry]));
  for (const part of parts) {
    await slices.pause();
    const key = `${part.account} ${part.scheme}`;
    const raw = new Fraction(part.work, window.factor);
    const posted = new Fraction((left.get(key)?.weight ?? 0n) * work, total === 0n ? 1n : total);
    left.delete(key);
    if (raw.equals(posted)) continue;
    own.add(`hashes under ${part.scheme} in the window`, posted.floor(), raw.floor(), part.name);
  }
  const names = await accountNames(
    stores.database,
    [...left.values()].map(({ account }) => account),
    slices,
  );
  for (const { account, scheme, weight } of left.values()) {
    const hashes = new Fraction(weight * work, total === 0n ? 1n : total).floor();
    own.add(`hashes under ${scheme} in the window`, hashes, 0, names.get(account) ?? `account ${account}`);
  }
  if (own.all.length === 0) return;
  const gap = await gapInWindow(stores.clickhouse, stores.database, end, window.sinceS);
  if (gap !== null) throw new IncompleteError(gap);
  // A share more or less moves the far edge for everybody: whose shares it was says what was booked.
  if ('round' in end) await bookedDifferences(stores, end.round, window.sinceS, inputs, slices);
  for (const { what, ledger, recomputed, account } of own.all) inputs.add(what, ledger, recomputed, account);
}

async function termsCheck(
  { database }: CheckStores,
  at: Date,
  accounts: readonly number[],
  inputs: InputDifferences,
  slices: ShortSlices,
): Promise<TermsCheck> {
  const chosen = await chosenAround(database, accounts, at, slices);
  return new TermsCheck(chosen, await accountNames(database, accounts, slices), inputs);
}

/** With nobody in the window, and for SOLO, the finder's share is the whole block. */
async function splitParts(
  finder: Finder,
  parts: readonly RawPart[],
  entries: readonly WindowEntry[],
  window: RawWindow,
  terms: TermsCheck,
  slices: ShortSlices,
): Promise<SplitPart[]> {
  if (window.work === 0n) {
    const { account, scheme } = finder;
    return [{ account, scheme, share: new Fraction(1n), ...terms.settle(account, scheme, finder) }];
  }
  const recorded = new Map(entries.map((entry) => [`${entry.account} ${entry.scheme}`, entry]));
  const whole = window.work * window.factor;
  const split: SplitPart[] = [];
  for (const { account, scheme, work } of parts) {
    await slices.pause();
    const settled = terms.settle(account, scheme, recorded.get(`${account} ${scheme}`));
    split.push({ account, scheme, share: new Fraction(work, whole), ...settled });
  }
  return split;
}
