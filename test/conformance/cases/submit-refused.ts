// Submits that must not be accepted. Where the fault is not the hash, the share carries real work for the header
// that a careless pool would build, so that only the right check refuses it.
import { bytesToHex } from '../../../engine/bitcoin/hex.js';
import type { ConformanceCase } from '../case.js';
import { expectAccepted, expectRefused, submitFields } from '../miner.js';

const HOUR = 3600;
/** Of Bitcoin's first block: no chain may go on at or before it. Miners are not told the median time past. */
const GENESIS_TIME = 1_231_006_505;

export const submitRefusedCases: readonly ConformanceCase[] = [
  {
    name: 'submit/ntime-too-early',
    level: 'must',
    rule: 'ntime before the least time of the template is refused, whatever work it carries',
    source: 'consensus: above the median time past; public-pool PR 131 lost blocks to it',
    async run(pool) {
      const miner = await pool.miner();
      for (const time of [0, 1, GENESIS_TIME]) {
        expectRefused(await miner.submit(await miner.mine({ time })), `ntime ${time}`);
      }
      return undefined;
    },
  },
  {
    name: 'submit/ntime-too-far',
    level: 'must',
    rule: 'ntime more than two hours ahead is refused, whatever work it carries',
    source: 'consensus: 7200 s ahead of the node at most',
    async run(pool) {
      const miner = await pool.miner();
      const job = await miner.job();
      for (const time of [job.time + 3 * HOUR, 0xffffffff]) {
        expectRefused(await miner.submit(await miner.mine({ time })), `ntime ${time - job.time} s ahead`);
      }
      return undefined;
    },
  },
  {
    name: 'submit/ntime-not-hex',
    level: 'must',
    rule: 'ntime of another form than 8 hex digits is refused',
    source: 'reliability rule: decode fixed widths, never trim',
    async run(pool) {
      const miner = await pool.miner();
      const { jobId, extranonce2, nonce } = await miner.mine();
      for (const ntime of [
        '',
        'zzzzzzzz',
        '6553f10',
        '06553f100',
        '1700000000',
        ' 6553f10',
        1700000000,
        null,
      ]) {
        const reply = await miner.submitFields([miner.user, jobId, extranonce2, ntime, nonce]);
        expectRefused(reply, `ntime ${JSON.stringify(ntime)}`);
      }
      return undefined;
    },
  },
  {
    name: 'submit/nonce-not-hex',
    level: 'must',
    rule: 'a nonce of another form than 8 hex digits is refused',
    source: 'reliability rule: decode fixed widths, never trim',
    async run(pool) {
      const miner = await pool.miner();
      const { jobId, extranonce2, ntime } = await miner.mine();
      for (const nonce of [
        '',
        'zzzzzzzz',
        'beef',
        '0xdeadbeef',
        '0deadbeef',
        'deadbee',
        'deadbee ',
        5,
        null,
        {},
      ]) {
        const reply = await miner.submitFields([miner.user, jobId, extranonce2, ntime, nonce]);
        expectRefused(reply, `nonce ${JSON.stringify(nonce)}`);
      }
      return undefined;
    },
  },
  {
    name: 'submit/extranonce2-length',
    level: 'must',
    rule: 'an extranonce2 of another length is refused, also with work for exactly those bytes',
    source: 'ckpool 2017 padded and cut; blocks of a wrong coinbase are lost',
    async run(pool) {
      const miner = await pool.miner();
      const bytes = miner.extranonce2Bytes;
      for (const length of [bytes - 1, bytes + 1, 0]) {
        const share = await miner.mine({ extranonce2: miner.freshExtranonce2(length) });
        expectRefused(await miner.submit(share), `extranonce2 of ${length} bytes instead of ${bytes}`);
      }
      return undefined;
    },
  },
  {
    name: 'submit/extranonce2-padded',
    level: 'must',
    rule: 'an extranonce2 is neither padded nor cut to fit',
    source: 'z-classic/node-stratum-pool#16: a tail passed the duplicate check and was paid twice',
    async run(pool) {
      const miner = await pool.miner();
      const bytes = miner.extranonce2Bytes;
      const fresh = miner.freshExtranonce2();
      const share = await miner.mine({ extranonce2: fresh });
      const { extranonce2, jobId, ntime, nonce } = share;
      const odd = [
        `${extranonce2}00`,
        `00${extranonce2}`,
        `${extranonce2}zz`,
        `${extranonce2}0`,
        extranonce2.slice(2),
      ];
      for (const spelling of odd) {
        const reply = await miner.submitFields([miner.user, jobId, spelling, ntime, nonce]);
        expectRefused(reply, `extranonce2 "${spelling}" for ${bytes} bytes`);
      }
      expectAccepted(await miner.submit(share), 'the share as it is');
      return bytesToHex(fresh);
    },
  },
  {
    name: 'submit/wrong-count',
    level: 'must',
    rule: 'fewer than five parameters or more than six are refused with an error',
    source: "slush0's Stratum description, BIP310",
    async run(pool) {
      const miner = await pool.miner();
      const fields = submitFields(await miner.mine(), '00000000', miner.user);
      for (const params of [[], fields.slice(0, 1), fields.slice(0, 4), [...fields, 'more'], {}, 'x', null]) {
        expectRefused(await miner.submitFields(params as unknown[]), `${shortened(params)} as parameters`);
      }
      return undefined;
    },
  },
  {
    name: 'submit/odd-types',
    level: 'must',
    rule: 'a parameter of another type is refused with an error, in each place',
    source: 'public-pool#2, node-stratum-pool: a pool died of a shape',
    hostile: true,
    async run(pool) {
      const miner = await pool.miner();
      const fields = submitFields(await miner.mine(), undefined, miner.user);
      for (let place = 0; place < fields.length; place++) {
        for (const value of [null, 5, true, {}, [], [fields[place]]]) {
          const params: unknown[] = [...fields];
          params[place] = value;
          expectRefused(await miner.submitFields(params), `${JSON.stringify(value)} in place ${place + 1}`);
        }
      }
      return undefined;
    },
  },
  {
    name: 'submit/goes-on-after-rejects',
    level: 'must',
    rule: 'some bad shares do not cost the connection: a good one after them is accepted',
    source: 'miningcore#1695: honest machines dropped for one duplicate',
    async run(pool) {
      const miner = await pool.miner();
      for (let i = 0; i < 10; i++) expectRefused(await miner.submit(await miner.mineMiss()), 'a bad share');
      expectAccepted(await miner.submit(await miner.mine()), 'a good share after 10 bad ones');
      return undefined;
    },
  },
];

function shortened(params: unknown): string {
  return JSON.stringify(params).slice(0, 60);
}
