// Recomputes a credit of PPS, PPS+ and FPPS: the work of each account from the raw shares of the ranges that the credit
// names, its value from height, bits, subsidy and average fees, whole satoshis from the value and what was carried.
import { blockSubsidy } from '../bitcoin/subsidy.js';
import { difficultyFromTarget, targetFromBits } from '../bitcoin/target.js';
import { accountIds, accountNames, chosenAround } from './account-records.js';
import { type CheckStores, compareLines, unnamedSchemes } from './credit-check.js';
import { FeeAverageCheck } from './fee-average-check.js';
import { Fraction, ppm, ZERO } from './fraction.js';
import {
  addLine,
  type Carry,
  type Credit,
  type Lines,
  type PaidPart,
  readCarries,
  readCarriesBefore,
  readPaidParts,
  readPaidWork,
  readRecordedTerms,
} from './ledger-credits.js';
import { gapInRanges } from './raw-gaps.js';
import { RawRanges, type SeqRange } from './raw-ranges.js';
import { hashesFor, isScheme, RULES } from './scheme-rules.js';
import type { ShortSlices } from './short-slices.js';
import { TermsCheck } from './terms-check.js';
import { type CreditVerdict, IncompleteError, InputDifferences } from './verdict.js';

const Q64 = 2n ** 64n;
/** An account that claims to carry nothing is looked for in this many credits before; one that does carry, in all. */
const LOOK_BACK_CREDITS = 500;
const ALL_CREDITS = 2_147_483_647;
const NO_CARRY: Carry = { miner: 0n, fee: 0n, donation: 0n };

/** What one account's shares are worth in one credit, in 2^-64 sat. */
interface Worth {
  value: bigint;
  fee: Fraction;
  donation: Fraction;
}

export async function verifyExpectedCredit(
  stores: CheckStores,
  credit: Credit,
  slices: ShortSlices,
): Promise<CreditVerdict> {
  const { database } = stores;
  const inputs = new InputDifferences();
  const unnamed = await unnamedSchemes(stores, credit.postedAt, slices);
  const recorded = await readRecordedTerms(database, credit.id, slices);
  const termsOf = new Map(recorded.map((each) => [`${each.account} ${each.scheme}`, each]));
  const parts = await readPaidParts(database, credit.id, slices);
  const work = new RawWork(stores, credit, unnamed, inputs, slices);
  const averages = new FeeAverageCheck(database, inputs);
  const worths = new Map<number, Worth>();
  const payees = [...new Set(recorded.map(({ account }) => account))];
  const chosen = await chosenAround(database, payees, credit.postedAt, slices);
  const terms = new TermsCheck(chosen, await accountNames(database, payees, slices), inputs);

  for (const part of parts) {
    const { scheme, height } = part;
    if (!isScheme(scheme) || RULES[scheme].share === null) {
      inputs.add(`scheme of height ${height}`, scheme, 'one that pays for shares');
      continue;
    }
    const subsidySats = blockSubsidy(height, stores.network);
    inputs.compare(`subsidy at height ${height}`, part.subsidySats, subsidySats);
    const withFees = RULES[scheme].share === 'subsidy and average fees';
    const averageSats = withFees ? await averages.at(height) : 0n;
    inputs.compare(`average fees at height ${height}`, part.averageFeesSats ?? 0n, averageSats);
    const networkHashes = hashesFor(targetFromBits(part.bits));
    const raw = await work.of(part);
    for (const [account, hashes] of raw) {
      await slices.pause();
      const value = (hashes * (subsidySats + averageSats) * Q64) / networkHashes;
      const settled = terms.settle(account, scheme, termsOf.get(`${account} ${scheme}`));
      const fee = new Fraction(value).times(ppm(settled.feePpm));
      const donation = new Fraction(value).minus(fee).times(ppm(settled.donationPpm));
      const worth = worths.get(account) ?? { value: 0n, fee: ZERO, donation: ZERO };
      worths.set(account, {
        value: worth.value + value,
        fee: worth.fee.plus(fee),
        donation: worth.donation.plus(donation),
      });
    }
  }
  const carried = await checkCarriesIn(stores, credit, [...worths.keys()], inputs, slices);
  const { lines, left } = await wholeSatoshis(worths, carried, slices);
  await checkCarriesOut(stores, credit, left, inputs, slices);
  return await compareLines(stores, credit, lines, inputs, slices);
}

/** Raw work of the parts of one credit, compared with what the ledger paid for. */
class RawWork {
  readonly #stores: CheckStores;
  readonly #credit: Credit;
  readonly #unnamed: ReadonlyMap<string, string>;
  readonly #inputs: InputDifferences;
  readonly #slices: ShortSlices;
  readonly #ranges: RawRanges;

  constructor(
    stores: CheckStores,
    credit: Credit,
    unnamed: ReadonlyMap<string, string>,
    inputs: InputDifferences,
    slices: ShortSlices,
  ) {
    this.#stores = stores;
    this.#credit = credit;
    this.#unnamed = unnamed;
    this.#inputs = inputs;
    this.#slices = slices;
    this.#ranges = new RawRanges(stores.clickhouse);
  }

  /** Hashes by account. Throws IncompleteError when rows are gone or have not come. */
  async of(part: PaidPart): Promise<Map<number, bigint>> {
    const { database, clickhouse } = this.#stores;
    const { scheme, height, bits, place } = part;
    const ranges: SeqRange[] = part.ranges.map(({ node, from, to }) => ({
      node: Number(node),
      from: BigInt(from),
      to: BigInt(to),
    }));
    const question = {
      ...{ ranges, scheme, height },
      unnamed: [...this.#unnamed].filter(([, chosen]) => chosen === scheme).map(([name]) => name),
      networkDifficulty: difficultyFromTarget(targetFromBits(bits)),
    };
    const found = await this.#ranges.work(question, Math.floor(this.#credit.postedAt.getTime() / 1000));
    this.#slices.begin();
    if (found.missing !== 0n) {
      const gap = await gapInRanges(clickhouse, database, ranges);
      if (gap !== null) throw new IncompleteError(gap);
    }
    const ids = await accountIds(database, found.work.keys(), this.#slices);
    const raw = new Map<number, bigint>();
    for (const [name, hashes] of found.work) {
      const id = ids.get(name);
      if (id === undefined) throw new IncompleteError(`account ${name} has shares, and is not in Postgres`);
      raw.set(id, (raw.get(id) ?? 0n) + hashes);
    }
    const paid = await readPaidWork(database, this.#credit.id, place, this.#slices);
    const differing = [...new Set([...paid.keys(), ...raw.keys()])].filter(
      (id) => paid.get(id) !== raw.get(id),
    );
    const names = await accountNames(database, differing, this.#slices);
    for (const id of differing) {
      const name = names.get(id) ?? `account ${id}`;
      this.#inputs.add(
        `hashes under ${scheme} at height ${height}`,
        paid.get(id) ?? 0n,
        raw.get(id) ?? 0n,
        name,
      );
    }
    return raw;
  }
}

/** What the credits before left to the accounts of this one. */
async function checkCarriesIn(
  { database }: CheckStores,
  { id }: Credit,
  accounts: readonly number[],
  inputs: InputDifferences,
  slices: ShortSlices,
): Promise<Map<number, Carry>> {
  const recorded = await readCarries(database, id, 'carriedIn', slices);
  const before = await readCarriesBefore(database, id, accounts, LOOK_BACK_CREDITS, slices);
  const further = [...recorded.keys()].filter((account) => !before.has(account));
  if (further.length > 0) {
    const found = await readCarriesBefore(database, id, further, ALL_CREDITS, slices);
    for (const [account, carry] of found) before.set(account, carry);
  }
  await compareCarries(database, 'carried from the credits before', recorded, before, inputs, slices);
  return before;
}

async function checkCarriesOut(
  { database }: CheckStores,
  { id }: Credit,
  left: ReadonlyMap<number, Carry>,
  inputs: InputDifferences,
  slices: ShortSlices,
): Promise<void> {
  const recorded = await readCarries(database, id, 'carriedOut', slices);
  await compareCarries(database, 'carried to the next credit', recorded, left, inputs, slices);
}

async function compareCarries(
  database: CheckStores['database'],
  what: string,
  recorded: ReadonlyMap<number, Carry>,
  recomputed: ReadonlyMap<number, Carry>,
  inputs: InputDifferences,
  slices: ShortSlices,
): Promise<void> {
  const differing: { account: number; part: keyof Carry }[] = [];
  for (const account of new Set([...recorded.keys(), ...recomputed.keys()])) {
    await slices.pause();
    for (const part of ['miner', 'fee', 'donation'] as const) {
      const ledger = recorded.get(account)?.[part] ?? 0n;
      if (ledger !== (recomputed.get(account)?.[part] ?? 0n)) differing.push({ account, part });
    }
  }
  const names = await accountNames(
    database,
    differing.map(({ account }) => account),
    slices,
  );
  for (const { account, part } of differing) {
    const ledger = recorded.get(account)?.[part] ?? 0n;
    const found = recomputed.get(account)?.[part] ?? 0n;
    const name = names.get(account) ?? `account ${account}`;
    inputs.add(`${part} part ${what}, 2^-64 sat`, ledger, found, name);
  }
}

async function wholeSatoshis(
  worths: ReadonlyMap<number, Worth>,
  carried: ReadonlyMap<number, Carry>,
  slices: ShortSlices,
): Promise<{ lines: Lines; left: Map<number, Carry> }> {
  const lines: Lines = new Map();
  const left = new Map<number, Carry>();
  let total = 0n;
  for (const [account, worth] of worths) {
    await slices.pause();
    const before = carried.get(account) ?? NO_CARRY;
    const fee = worth.fee.floor();
    const donation = worth.donation.floor();
    const owed = {
      miner: before.miner + worth.value - fee - donation,
      fee: before.fee + fee,
      donation: before.donation + donation,
    };
    addLine(lines, 'miner_confirmed', account, owed.miner / Q64);
    addLine(lines, 'pool_fee', null, owed.fee / Q64);
    addLine(lines, 'donation', null, owed.donation / Q64);
    total += owed.miner / Q64 + owed.fee / Q64 + owed.donation / Q64;
    left.set(account, { miner: owed.miner % Q64, fee: owed.fee % Q64, donation: owed.donation % Q64 });
  }
  addLine(lines, 'reserve', null, -total);
  return { lines, left };
}
