// Version rolling in shares: nVersion = (job & ~mask) | (bits & mask), and nothing outside the mask. BIP310.
import { wordHex } from '../../../loadtest/mining-job.js';
import { type ConformanceCase, NEW_JOB_WITHIN_MS, type PoolUnderTest } from '../case.js';
import { CaseSkipped, expectThat } from '../expectation.js';
import { expectAccepted, expectRefused, type Miner, needRolling, rolledVersion } from '../miner.js';
import { networkDifficulty } from '../share-search.js';

const BIP320_MASK = 0x1fffe000;

async function rollingMiner(pool: PoolUnderTest, mask = BIP320_MASK): Promise<Miner> {
  const miner = await pool.miner({ versionMask: mask });
  needRolling(miner);
  return miner;
}

function setBits(mask: number): number[] {
  return Array.from({ length: 32 }, (_, bit) => (1 << bit) >>> 0).filter((bit) => (mask & bit) !== 0);
}

/** Submits work for the header version `hashed`, spelled as `bits`; it must be refused. */
async function refuseBits(miner: Miner, hashed: number, bits: number, what: string): Promise<void> {
  const share = await miner.mine({ version: hashed });
  expectRefused(await miner.submit(share, wordHex(bits)), what);
}

export const versionRollingCases: readonly ConformanceCase[] = [
  {
    name: 'version-rolling/truth-table',
    level: 'must',
    rule: 'nVersion = (job & ~mask) | (bits & mask) for each bit of the mask, none and all',
    source: 'BIP310; ckpool and DATUM OR, btcpool and public-pool XOR',
    async run(pool) {
      const miner = await rollingMiner(pool);
      const mask = miner.versionMask;
      const { version } = await miner.job();
      for (const bits of [0, mask, ...setBits(mask)]) {
        const job = await miner.job();
        const known = miner.jobs.length;
        const share = await miner.mine({ job, version: rolledVersion(job.version, bits, mask) });
        expectAccepted(await miner.submit(share, wordHex(bits)), `bits ${wordHex(bits)}`);
        // On a regtest chain every share is a block.
        if (job.difficulty >= networkDifficulty(job.bits)) await miner.nextJob(known, NEW_JOB_WITHIN_MS);
      }
      const inside = (version & mask) !== 0;
      return inside
        ? `job ${wordHex(version)}`
        : `job ${wordHex(version)} has no bit inside the mask: OR, XOR and replace agree`;
    },
  },
  {
    name: 'version-rolling/same-bits-differ',
    level: 'must',
    rule: 'shares that differ only in their version bits are different shares',
    source: 'ESP-Miner#1587, miningcore: a duplicate key without version bits',
    async run(pool) {
      const miner = await rollingMiner(pool);
      const mask = miner.versionMask;
      const { version } = await miner.job();
      const extranonce2 = miner.freshExtranonce2();
      for (const bits of [0, ...setBits(mask).slice(0, 3)]) {
        const share = await miner.mine({ extranonce2, version: rolledVersion(version, bits, mask) });
        expectAccepted(await miner.submit(share, wordHex(bits)), `bits ${wordHex(bits)}`);
      }
      return undefined;
    },
  },
  {
    name: 'version-rolling/outside-mask',
    level: 'must',
    rule: 'bits outside the mask are refused, with work for the version they make',
    source: 'BIP310; btcpool#425: a negative version was an orphan',
    async run(pool) {
      const miner = await rollingMiner(pool);
      const { version } = await miner.job();
      for (const bit of setBits(~miner.versionMask >>> 0)
        .filter((bit) => (version & bit) === 0)
        .slice(-4)) {
        await refuseBits(miner, (version | bit) >>> 0, bit, `bit ${wordHex(bit)} outside the mask`);
      }
      return undefined;
    },
  },
  {
    name: 'version-rolling/outside-not-masked-away',
    level: 'must',
    rule: 'bits outside the mask are an error, not quietly cut off',
    source: 'BIP310; hydrapool masks them away',
    async run(pool) {
      const miner = await rollingMiner(pool);
      const { version } = await miner.job();
      for (const bits of [0x00000001, 0x80000000, 0xffffffff, 0x20000000 | version]) {
        if ((bits & ~miner.versionMask) === 0) continue;
        const hashed = rolledVersion(version, bits, miner.versionMask);
        await refuseBits(miner, hashed, bits >>> 0, `bits ${wordHex(bits)}`);
      }
      return undefined;
    },
  },
  {
    name: 'version-rolling/narrow-mask',
    level: 'must',
    rule: 'the mask that was negotiated counts, not the widest the pool knows',
    source: 'BIP310: version_bits & ~last_mask == 0',
    async run(pool) {
      const narrow = await rollingMiner(pool, 0x00006000);
      const { version } = await narrow.job();
      await refuseBits(
        narrow,
        (version | 0x10000000) >>> 0,
        0x10000000,
        'bit 10000000 outside mask 00006000',
      );
      const inside = await narrow.mine({ version: rolledVersion(version, 0x2000, narrow.versionMask) });
      expectAccepted(await narrow.submit(inside, '00002000'), 'bit 00002000 inside mask 00006000');
      return undefined;
    },
  },
  {
    name: 'version-rolling/not-negotiated',
    level: 'must',
    rule: 'without mining.configure rolled bits are refused, with work for either version',
    source: 'DATUM PR 215',
    async run(pool) {
      const miner = await pool.miner();
      const { version } = await miner.job();
      const rolled = (version | 0x2000) >>> 0;
      if (rolled === version) throw new CaseSkipped('the job has that bit already');
      await refuseBits(miner, rolled, 0x2000, 'rolled bits without configure');
      await refuseBits(miner, version, 0x2000, 'bits without configure, over unrolled work');
      return undefined;
    },
  },
  {
    name: 'version-rolling/zero-bits-without',
    level: 'should',
    rule: 'six parameters with bits 00000000 are fine where nothing was negotiated',
    source: 'firmware that always sends six',
    async run(pool) {
      const miner = await pool.miner();
      expectAccepted(await miner.submit(await miner.mine(), '00000000'), 'a share with bits 00000000');
      return undefined;
    },
  },
  {
    name: 'version-rolling/odd-bits',
    level: 'must',
    rule: 'version bits of another form than 8 hex digits are refused',
    source: 'BIP310, TMask',
    async run(pool) {
      const miner = await rollingMiner(pool);
      for (const bits of ['', '0', '2000', '0x00002000', '000002000', 'zzzzzzzz', ' 0002000', '-0002000']) {
        expectRefused(await miner.submit(await miner.mine(), bits), `bits "${bits}"`);
      }
      return undefined;
    },
  },
  {
    name: 'version-rolling/configured-late',
    level: 'should',
    rule: 'configure after subscribe works, also for the job that is out',
    source: 'BIP310: active immediately',
    async run(pool) {
      const miner = await pool.miner();
      const job = await miner.job();
      await miner.configure(BIP320_MASK);
      needRolling(miner);
      const [bit = 0] = setBits(miner.versionMask);
      const version = rolledVersion(job.version, bit, miner.versionMask);
      expectAccepted(await miner.submit(await miner.mine({ job, version }), wordHex(bit)), 'a rolled share');
      return undefined;
    },
  },
  {
    name: 'version-rolling/configured-again',
    level: 'must',
    rule: 'a second configure with a narrower mask holds at once',
    source: 'BIP310: the last mask counts',
    async run(pool) {
      const miner = await rollingMiner(pool);
      await miner.configure(0x00006000);
      const { version } = await miner.job();
      expectThat((miner.versionMask & ~0x6000) === 0, 'a mask inside 00006000', wordHex(miner.versionMask));
      await refuseBits(miner, (version | 0x10000000) >>> 0, 0x10000000, 'a bit of the old mask');
      return undefined;
    },
  },
];
