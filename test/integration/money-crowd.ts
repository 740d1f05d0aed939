// Several processes that all want to do the same things to one ledger at once: credit and mature the same blocks, take
// the same deposits, pay the same work and the same payouts, each in its own random order. Whoever comes first does
// it, the others find it done: the books end as if one had done everything once.
import { createHash } from 'node:crypto';
import type { Database } from '../../storage/postgres/connection.js';
import { type BookBlock, type PaidWork, PlainBooks } from './money-books.js';
import { plainWindow } from './money-model.js';
import {
  BITS,
  CREDIT_TERMS,
  CrashingStores,
  FEE_PPM,
  LedgerProbe,
  NETWORK_TARGET,
  type Stores,
  SUBSIDY_SATS,
} from './money-operations.js';
import { seeded } from './money-random.js';
import { hashesOf, type MoneyShare, moneyBatch } from './money-shares.js';

const MINERS = ['alice', 'bob', 'carol', 'dave'];
const SCHEMES = ['pplns', 'fpps', 'ppsplus', 'solo', 'pps'] as const;
const PAYOUT_SATS = 50_000n;
const NETWORK_FEE_SATS = 321n;

type Deed = (stores: Stores) => Promise<unknown>;

export class LedgerCrowd {
  readonly books = new PlainBooks(FEE_PPM);
  readonly probe: LedgerProbe;
  readonly #processes: CrashingStores[];
  readonly #seed: number;
  readonly #deeds: Deed[][] = [];

  private constructor(url: string, admin: Database, seed: number, processes: number, crashChance: number) {
    this.probe = new LedgerProbe(admin);
    this.#seed = seed;
    this.#processes = Array.from(
      { length: processes },
      (_, index) => new CrashingStores(url, admin, seeded(seed + index), crashChance),
    );
  }

  /** Work and blocks are booked, the miners have balances; what is left to do is known. */
  static async prepare(
    url: string,
    admin: Database,
    seed: number,
    { processes, blocks, crashChance }: { processes: number; blocks: number; crashChance: number },
  ): Promise<LedgerCrowd> {
    const crowd = new LedgerCrowd(url, admin, seed, processes, crashChance);
    const [first] = crowd.#processes as [CrashingStores];
    const shares: (MoneyShare & { work: bigint })[] = [];
    const unpaid: PaidWork[] = [];
    for (let round = 0; round < blocks; round++) {
      const block = createHash('sha256').update(`crowd ${round}`).digest('hex');
      const batch: MoneyShare[] = MINERS.map((account, index) => {
        const scheme = SCHEMES[(round + index) % SCHEMES.length] ?? 'pplns';
        return { account, scheme, target: NETWORK_TARGET * 4n, minute: round, round };
      });
      const last = batch.at(-1) as MoneyShare;
      last.block = block;
      const height = 1 + round;
      await first.sure(({ work }) =>
        work.applyBatch(moneyBatch(shares.length + 1, batch, { height, bits: BITS })),
      );
      shares.push(...batch.map((share) => ({ ...share, work: hashesOf(share.target) })));
      for (const { account, scheme, target } of batch) {
        if (scheme !== 'pplns' && scheme !== 'solo')
          unpaid.push({ account, scheme, height, work: hashesOf(target) });
      }
      const { account, scheme } = last;
      const found: BookBlock = {
        hash: block,
        finder: { account, scheme },
        subsidySats: SUBSIDY_SATS,
        feesSats: BigInt(round),
        ...plainWindow(shares, round, 2n * hashesOf(NETWORK_TARGET)),
        status: 'candidate',
        pays: new Map(),
        lostSats: 0n,
      };
      // The first half has matured and pays the payouts; the other half is for the crowd.
      const terms = { ...CREDIT_TERMS, subsidySats: found.subsidySats, feesSats: found.feesSats };
      const credit: Deed = (stores) => stores.blocks.creditBlock(block, terms);
      const mature: Deed = (stores) => stores.blocks.matureBlock(block, 101);
      crowd.books.credit(found);
      crowd.books.mature(found);
      if (round < blocks / 2) {
        await first.sure(credit);
        await first.sure(mature);
      } else crowd.#deeds.push([credit, mature]);
    }
    const deposit = { key: 'a deposit', sats: 500_000_000n, actor: 'operator', reason: 'a crowd' };
    crowd.#deeds.push([({ reserve }) => reserve.depositCapital(deposit)]);
    await first.sure(({ reserve }) => reserve.depositCapital({ ...deposit, key: 'the first' }));
    await first.sure(({ reserve }) => reserve.fundReserve({ ...deposit, key: 'fund' }, 'capital'));
    crowd.books.add('wallet', -2n * deposit.sats);
    crowd.books.add('capital', deposit.sats);
    crowd.books.add('reserve', deposit.sats);
    const expected = { subsidySats: () => SUBSIDY_SATS, feePpm: CREDIT_TERMS.feePpm };
    crowd.#deeds.push([({ expectedPay }) => expectedPay.creditExpectedPay(expected)]);
    crowd.books.payExpected(unpaid, () => SUBSIDY_SATS, hashesOf(NETWORK_TARGET));
    for (const [index, account] of [...MINERS, ...MINERS, ...MINERS].entries()) crowd.#payout(account, index);
    return crowd;
  }

  /** Every process does everything. */
  async run(): Promise<void> {
    await Promise.all(
      this.#processes.map(async (process, index) => {
        const random = seeded(this.#seed + 100 + index);
        const left = this.#deeds.map((deeds) => [...deeds]);
        while (left.length > 0) {
          const at = Math.floor(random() * left.length);
          const deed = left[at]?.shift();
          if (deed === undefined) left.splice(at, 1);
          else await process.sure(deed);
        }
      }),
    );
  }

  crashes() {
    const sum = { count: 0, inRecovery: 0, conflicts: 0 };
    for (const { crashes } of this.#processes) {
      sum.count += crashes.count;
      sum.inRecovery += crashes.inRecovery;
      sum.conflicts += crashes.conflicts;
    }
    return sum;
  }

  async close(): Promise<void> {
    for (const process of this.#processes) await process.close();
  }

  /** Each process builds a transaction of its own; one is stored, and that one is confirmed. */
  #payout(account: string, index: number): void {
    const limits = { dailyCapSats: null, approvalAboveSats: null };
    const wish = { account, amountSats: PAYOUT_SATS, key: `wish ${index}`, minimumSats: 1n, limits };
    const idOf = async ({ payouts }: Stores): Promise<bigint> => {
      const answer = await payouts.requestPayout(wish);
      if (answer.kind !== 'planned') throw new Error(`${wish.key}: ${answer.message}`);
      return answer.payoutId;
    };
    let built = 0;
    this.#deeds.push([
      idOf,
      async (stores) => {
        const id = await idOf(stores);
        const txid = createHash('sha256').update(`${account} ${index} ${++built}`).digest('hex');
        const signed = { txid, rawTransaction: txid, networkFeeSats: NETWORK_FEE_SATS };
        await stores.payouts.storeSigned(id, signed);
      },
      async (stores) => await stores.payouts.markBroadcast(await idOf(stores)),
      async (stores) => await stores.payouts.markConfirmed(await idOf(stores)),
    ]);
    this.books.add(`miner_confirmed ${account}`, -PAYOUT_SATS);
    this.books.add('wallet', PAYOUT_SATS + NETWORK_FEE_SATS);
    this.books.add('network_fees', -NETWORK_FEE_SATS);
  }
}
