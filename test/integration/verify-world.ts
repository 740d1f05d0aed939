// A pool of several lanes whose shares reach both stores as the shipper brings them, for tests of the verification:
// real PostgreSQL, real ClickHouse engine, real stores; what the shares are is up to the test.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Scheme } from '../../engine/accounting/schemes.js';
import { blockSubsidy } from '../../engine/bitcoin/subsidy.js';
import { difficultyFromTarget, targetFromBits } from '../../engine/bitcoin/target.js';
import { type Credit, readCredits } from '../../engine/verify/ledger-credits.js';
import type { CreditVerdict } from '../../engine/verify/verdict.js';
import { Verifier } from '../../engine/verify/verifier.js';
import { type ClickHouse, type ClickHouseOptions, openClickHouse } from '../../storage/clickhouse/client.js';
import { type EmbeddedClickHouse, startClickHouse } from '../../storage/embedded/clickhouse.js';
import { findFreePort } from '../../storage/embedded/free-port.js';
import { type EmbeddedPostgres, startPostgres } from '../../storage/embedded/postgres.js';
import type { JournalBatch } from '../../storage/journal/batch.js';
import { AccountSettingsStore } from '../../storage/postgres/account-settings.js';
import { BlockStore, type CreditTerms } from '../../storage/postgres/block-store.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { ExpectedPayStore } from '../../storage/postgres/expected-pay-store.js';
import { FeeAverages } from '../../storage/postgres/fee-averages.js';
import { activateLanes } from '../../storage/postgres/ledger-lanes.js';
import { migratePostgres } from '../../storage/postgres/migrate.js';
import { ReserveStore } from '../../storage/postgres/reserve-store.js';
import { WorkStore } from '../../storage/postgres/work-store.js';
import { ClickHouseSink } from '../../storage/shipper/clickhouse-sink.js';
import { TEST_TIME_MS, testHash, testRounds } from '../fixtures/journal-batch.js';
import { type SchemeShare, schemeBatch } from '../fixtures/scheme-batch.js';

export const LANES = [1, 2, 3];
export const FEE_PPM: Record<Scheme, number> = {
  ...{ pplns: 10_000, solo: 5_000, pps: 40_000, ppsplus: 30_000, fpps: 20_000 },
};
const FEES_SATS = 10_000_003n;
/** A window of 65 shares. */
const WINDOW_PERMILLE = 1;

export interface VerifyServers {
  postgres: EmbeddedPostgres;
  clickhouse: EmbeddedClickHouse;
  folder: string;
  newPool(): Promise<VerifyPool>;
  stop(): Promise<void>;
}

export async function startVerifyServers(): Promise<VerifyServers> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-verify-'));
  const postgres = await startPostgres({ dataDir: join(folder, 'postgres'), log: () => {} });
  const port = await findFreePort();
  const clickhouse = await startClickHouse({ dataDir: join(folder, 'clickhouse'), log: () => {}, port });
  const admin = openPostgres({ url: postgres.url, poolSize: 1, timeoutS: 10 });
  const urlOf = (name: string) => {
    const url = new URL(postgres.url);
    url.pathname = `/${name}`;
    return url.href;
  };
  await admin.unsafe('create database migrated');
  const migrated = openPostgres({ url: urlOf('migrated'), poolSize: 1, timeoutS: 10 });
  await migratePostgres(migrated);
  await migrated.end();
  let pools = 0;
  return {
    ...{ postgres, clickhouse, folder },
    async newPool() {
      const name = `pool${++pools}`;
      await admin.unsafe(`create database ${name} template migrated`);
      const shares = { url: clickhouse.url, ...clickhouse.writer, database: name };
      const pool = new VerifyPool(urlOf(name), shares, join(folder, name));
      await pool.open();
      return pool;
    },
    async stop() {
      await admin.end({ timeout: 1 });
      await clickhouse.stop();
      await postgres.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface PoolShare extends SchemeShare {
  lane: number;
}

export class VerifyPool {
  readonly postgresUrl: string;
  readonly shares: ClickHouseOptions;
  readonly database: Database;
  readonly clickhouse: ClickHouse;
  readonly blocks: BlockStore;
  readonly expected: ExpectedPayStore;
  readonly averages: FeeAverages;
  readonly settings: AccountSettingsStore;
  readonly reserve: ReserveStore;
  round = 0;
  /** Coinbase plan of the jobs that shares are for. */
  plan: string | null = null;
  nowMs = TEST_TIME_MS;
  readonly #work: WorkStore;
  readonly #sinks: Map<number, ClickHouseSink>;
  readonly #folder: string;
  readonly #next = new Map(LANES.map((lane) => [lane, 1]));
  #pending: PoolShare[] = [];
  #deposits = 0;

  constructor(postgresUrl: string, shares: ClickHouseOptions, folder: string) {
    this.postgresUrl = postgresUrl;
    this.shares = shares;
    this.database = openPostgres({ url: postgresUrl, poolSize: 4, timeoutS: 20 });
    this.clickhouse = openClickHouse(shares);
    this.blocks = new BlockStore(this.database);
    this.expected = new ExpectedPayStore(this.database);
    this.averages = new FeeAverages(this.database);
    this.settings = new AccountSettingsStore(this.database);
    this.reserve = new ReserveStore(this.database);
    this.#work = new WorkStore(this.database, {
      defaultScheme: 'pplns',
      isAddress: (name) => name.startsWith('bcrt1'),
    });
    this.#folder = folder;
    this.#sinks = new Map(
      LANES.map((lane) => [lane, new ClickHouseSink(shares, lane, join(folder, String(lane)), () => {})]),
    );
  }

  async open(): Promise<void> {
    for (const [lane, sink] of this.#sinks) {
      mkdirSync(join(this.#folder, String(lane)), { recursive: true });
      await sink.open();
    }
    await activateLanes(this.database, { running: LANES, former: [] });
  }

  async close(): Promise<void> {
    for (const sink of this.#sinks.values()) await sink.close();
    await this.clickhouse.close();
    await this.database.end({ timeout: 1 });
  }

  async fund(sats: bigint): Promise<void> {
    const deposit = { key: `d${++this.#deposits}`, sats, actor: 'operator', reason: 'test' };
    await this.reserve.depositCapital(deposit);
    await this.reserve.fundReserve(deposit, 'capital');
  }

  /** A share is taken now. A block closes the round; its hash. */
  take(share: PoolShare): string | null {
    this.#pending.push({ ...share, round: this.round, atMs: share.atMs ?? this.nowMs });
    if (share.block !== true) return null;
    this.round++;
    const before = this.#pending.filter(({ lane }) => lane === share.lane).length;
    return testHash(share.lane, (this.#next.get(share.lane) ?? 1) + before - 1);
  }

  /** All that was taken goes to both stores, each lane in batches of `batchShares`. */
  async ship(batchShares = 40): Promise<void> {
    for (const lane of LANES) {
      const shares = this.#pending.filter((share) => share.lane === lane);
      for (let from = 0; from < shares.length; from += batchShares) {
        const part = shares.slice(from, from + batchShares);
        const first = this.#next.get(lane) ?? 1;
        await this.#deliver(lane, asJobsAre(schemeBatch(first, part, lane), this.plan));
        this.#next.set(lane, first + part.length);
      }
      await this.#deliver(lane, testRounds(this.#next.get(lane) ?? 1, this.round, lane));
    }
    this.#pending = [];
  }

  async #deliver(lane: number, batch: JournalBatch): Promise<void> {
    await this.#sinks.get(lane)?.deliver(batch);
    await this.#work.applyBatch(batch);
  }

  async credit(hash: string, height: number): Promise<string> {
    return await this.blocks.creditBlock(hash, this.terms(height));
  }

  terms(height: number): CreditTerms {
    return {
      subsidySats: blockSubsidy(height, 'regtest'),
      feesSats: FEES_SATS + BigInt(height),
      feePpm: (scheme) => FEE_PPM[scheme],
      windowPermille: WINDOW_PERMILLE,
      defaultScheme: 'pplns',
    };
  }

  async payExpected() {
    return await this.expected.creditExpectedPay({
      subsidySats: (height) => blockSubsidy(height, 'regtest'),
      feePpm: (scheme) => FEE_PPM[scheme],
    });
  }

  async credits(): Promise<Credit[]> {
    return await readCredits(this.database, { all: true }, 10_000);
  }

  async verify(): Promise<CreditVerdict[]> {
    const verifier = new Verifier({
      ...{ database: this.database, clickhouse: this.clickhouse, network: 'regtest' as const },
      ...{ defaultScheme: 'pplns' as const, coinbaseSats: async () => null },
    });
    const verdicts: CreditVerdict[] = [];
    for (const credit of await this.credits()) verdicts.push(await verifier.verify(credit));
    return verdicts;
  }

  /** Changes the ledger as only a superuser can. */
  async tamper(sql: string): Promise<void> {
    await this.database.begin(async (tx) => {
      await tx.unsafe('set local session_replication_role = replica');
      await tx.unsafe(sql);
    });
  }

  /** Changes rows of ClickHouse behind its back. */
  async spoil(sql: string): Promise<void> {
    await this.clickhouse.command(`${sql} SETTINGS mutations_sync = 1`);
  }
}

function asJobsAre(batch: JournalBatch, plan: string | null): JournalBatch {
  const jobs = [...batch.jobs].map(([key, job]) => {
    const networkDifficulty = difficultyFromTarget(targetFromBits(job.bits));
    return [key, { ...job, networkDifficulty, ...(plan === null ? {} : { plan }) }] as const;
  });
  return { ...batch, jobs: new Map(jobs) };
}
