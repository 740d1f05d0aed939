// One share in every spelling that was ever paid twice. A share is its header: whatever the text, credit is one.
// Sources: slush0/stratum-mining PR 12, powerpool#128, nomp#430, miningcore PR 102 and #710, Packet Storm 136556,
// z-classic/node-stratum-pool#16, public-pool (parseInt of each field).
import type { ConformanceCase } from '../case.js';
import { CaseFailure, CaseSkipped, cut } from '../expectation.js';
import { expectAccepted, type Miner, type Share } from '../miner.js';

/** Tries for a share with a letter in its nonce: 1 in 40 has none. */
const LETTER_TRIES = 10;

interface Fields {
  readonly user: string;
  readonly job: string;
  readonly extranonce2: string;
  readonly ntime: string;
  readonly nonce: string;
}

type Spelling = readonly [what: string, params: (fields: Fields) => readonly unknown[]];

const upper = (text: string): string => text.toUpperCase();
const mixed = (text: string): string => [...text].map((c, i) => (i % 2 === 0 ? upper(c) : c)).join('');
const of = ({ user, job, extranonce2, ntime, nonce }: Fields): unknown[] => [
  user,
  job,
  extranonce2,
  ntime,
  nonce,
];

/** Spellings of the parameters. */
const SPELLINGS: readonly Spelling[] = [
  ['the same again', of],
  ['nonce in capitals', (f) => of({ ...f, nonce: upper(f.nonce) })],
  ['nonce in mixed case', (f) => of({ ...f, nonce: mixed(f.nonce) })],
  ['extranonce2 in capitals', (f) => of({ ...f, extranonce2: upper(f.extranonce2) })],
  ['extranonce2 in mixed case', (f) => of({ ...f, extranonce2: mixed(f.extranonce2) })],
  ['all in capitals', (f) => [f.user, upper(f.job), upper(f.extranonce2), upper(f.ntime), upper(f.nonce)]],
  ['nonce with 0x', (f) => of({ ...f, nonce: `0x${f.nonce}` })],
  ['ntime with 0x', (f) => of({ ...f, ntime: `0x${f.ntime}` })],
  ['extranonce2 with 0x', (f) => of({ ...f, extranonce2: `0x${f.extranonce2}` })],
  ['nonce with a leading zero', (f) => of({ ...f, nonce: `0${f.nonce}` })],
  ['ntime with leading zeros', (f) => of({ ...f, ntime: `00${f.ntime}` })],
  ['extranonce2 with a leading zero byte', (f) => of({ ...f, extranonce2: `00${f.extranonce2}` })],
  ['extranonce2 with a trailing zero byte', (f) => of({ ...f, extranonce2: `${f.extranonce2}00` })],
  ['extranonce2 without its leading zero byte', (f) => of({ ...f, extranonce2: f.extranonce2.slice(2) })],
  [
    'extranonce2 without its trailing zero byte',
    (f) => of({ ...f, extranonce2: f.extranonce2.slice(0, -2) }),
  ],
  ['extranonce2 with a tail that is no hex', (f) => of({ ...f, extranonce2: `${f.extranonce2}zz` })],
  ['nonce with a tail that is no hex', (f) => of({ ...f, nonce: `${f.nonce}zz` })],
  ['nonce behind a space', (f) => of({ ...f, nonce: ` ${f.nonce}` })],
  ['nonce before a space', (f) => of({ ...f, nonce: `${f.nonce} ` })],
  ['nonce with a plus', (f) => of({ ...f, nonce: `+${f.nonce}` })],
  ['ntime behind a tab', (f) => of({ ...f, ntime: `\t${f.ntime}` })],
  ['extranonce2 before a line end', (f) => of({ ...f, extranonce2: `${f.extranonce2}\n` })],
  ['nonce before NUL', (f) => of({ ...f, nonce: `${f.nonce}\u0000` })],
  ['job id behind a zero', (f) => of({ ...f, job: `0${f.job}` })],
  ['job id behind a space', (f) => of({ ...f, job: ` ${f.job}` })],
  ['user before a space', (f) => of({ ...f, user: `${f.user} ` })],
  ['nonce as a number', (f) => [f.user, f.job, f.extranonce2, f.ntime, Number.parseInt(f.nonce, 16)]],
  ['version bits 00000000', (f) => [...of(f), '00000000']],
  ['version bits 0', (f) => [...of(f), '0']],
  ['version bits empty', (f) => [...of(f), '']],
  ['version bits null', (f) => [...of(f), null]],
  ['a seventh parameter', (f) => [...of(f), '00000000', '']],
];

/** Spellings of the line around the same parameters. */
const LINES: readonly (readonly [what: string, line: (params: string, id: number) => string])[] = [
  ['other order of members', (params, id) => `{"params":${params},"method":"mining.submit","id":${id}}`],
  [
    'spaces everywhere',
    (params, id) => ` { "id" : ${id} , "method" : "mining.submit" , "params" : ${params} } `,
  ],
  ['id as text', (params, id) => `{"id":"${id}","method":"mining.submit","params":${params}}`],
  [
    'one more member',
    (params, id) => `{"jsonrpc":"2.0","id":${id},"method":"mining.submit","params":${params}}`,
  ],
  [
    'escaped digits',
    (params, id) => {
      const escaped = params.replace(/([0-9a-f])"\]$/, (_, digit: string) => `\\u00${hexOf(digit)}"]`);
      return `{"id":${id},"method":"mining.submit","params":${escaped}}`;
    },
  ],
  ['method escaped', (params, id) => `{"id":${id},"method":"mining.\\u0073ubmit","params":${params}}`],
];

export const duplicateCases: readonly ConformanceCase[] = [
  {
    name: 'duplicates/spellings',
    level: 'must',
    rule: 'one share in other spellings of its fields is credited once',
    source: 'slush0/stratum-mining PR 12, miningcore#710, z-classic#16, Packet Storm 136556',
    async run(pool) {
      const miner = await pool.miner();
      const fields = await creditedShare(miner);
      for (const [what, params] of SPELLINGS) {
        const reply = await miner.submitFields(params(fields));
        if (reply.result === true) throw new CaseFailure(`no second credit for ${what}`, reply.line);
      }
      return `${SPELLINGS.length} spellings`;
    },
  },
  {
    name: 'duplicates/lines',
    level: 'must',
    rule: 'one share in other spellings of its line is credited once',
    source: 'a pool with a fast and a complete reader has one duplicate filter behind both',
    async run(pool) {
      const miner = await pool.miner();
      const params = JSON.stringify(of(await creditedShare(miner)));
      const { connection } = miner;
      for (const [what, line] of LINES) {
        const id = connection.newId();
        const from = connection.received.length;
        connection.send([line(params, id)]);
        const answer = await connection.replyOrClose(from);
        if (answer === null || /"result":\s*true/.test(answer)) {
          throw new CaseFailure(`no second credit for ${what}`, cut(answer ?? 'the connection closed'));
        }
      }
      return `${LINES.length} spellings`;
    },
  },
  {
    name: 'duplicates/first-in-capitals',
    level: 'must',
    rule: 'a share that came in capitals first is not credited again in lower case',
    source: 'miningcore#710',
    async run(pool) {
      const miner = await pool.miner();
      const fields = fieldsOf(miner, await shareWithLetters(miner));
      const loud = of({ ...fields, extranonce2: upper(fields.extranonce2), nonce: upper(fields.nonce) });
      const replies = [await miner.submitFields(loud), await miner.submitFields(of(fields))];
      const credits = replies.filter(({ result }) => result === true).length;
      // A pool may refuse capitals; it may not pay both.
      if (credits !== 1) throw new CaseFailure('one credit', `${credits}`);
      return undefined;
    },
  },
  {
    name: 'duplicates/other-worker',
    level: 'must',
    rule: 'one share under two names of a connection is credited once',
    source: 'a share is its header, not who sends it',
    async run(pool) {
      const miner = await pool.miner();
      const other = pool.workerNamed('second');
      await miner.authorize(other, pool.settings.password);
      const share = await miner.mine();
      expectAccepted(await miner.submit(share), 'the share');
      const reply = await miner.submit(share, undefined, other);
      if (reply.result === true) throw new CaseFailure('no second credit', reply.line);
      return undefined;
    },
  },
  {
    name: 'duplicates/in-one-packet',
    level: 'must',
    rule: 'copies of a share that arrive together are credited once',
    source: 'a check and a store that are not one step',
    async run(pool) {
      const miner = await pool.miner();
      const params = of(fieldsOf(miner, await miner.mine()));
      const { connection } = miner;
      const from = connection.received.length;
      const ids = Array.from({ length: 20 }, () => connection.newId());
      connection.send(ids.map((id) => JSON.stringify({ id, method: 'mining.submit', params })));
      let credits = 0;
      for (const id of ids) {
        const { result } = await connection.reply(id, from, `copy ${id}`);
        if (result === true) credits++;
      }
      if (credits !== 1) throw new CaseFailure('one credit for 20 copies', `${credits}`);
      return undefined;
    },
  },
  {
    name: 'duplicates/other-connection',
    level: 'must',
    rule: 'a share of one connection is not credited on another, whose extranonce1 differs',
    source: 'public-pool: one global job map',
    async run(pool) {
      const first = await pool.miner();
      const second = await pool.miner();
      const share = await first.mine();
      expectAccepted(await first.submit(share), 'the share');
      await second.job();
      const reply = await second.submit(share);
      if (reply.result === true) throw new CaseFailure('no second credit', reply.line);
      return undefined;
    },
  },
];

/** A share that the pool accepted, with letters in its nonce, and zero bytes at both ends of its extranonce2. */
async function creditedShare(miner: Miner): Promise<Fields> {
  const share = await shareWithLetters(miner);
  expectAccepted(await miner.submit(share), 'the share');
  return fieldsOf(miner, share);
}

async function shareWithLetters(miner: Miner): Promise<Share> {
  for (let i = 0; i < LETTER_TRIES; i++) {
    const extranonce2 = miner.freshExtranonce2();
    // 00 ab .. .. cd 00, where the length leaves room for it.
    if (extranonce2.length >= 4) {
      extranonce2.copyWithin(1, 2);
      extranonce2[0] = 0;
      extranonce2[extranonce2.length - 1] = 0;
      if (extranonce2.length >= 6) extranonce2[1] = 0xab;
    }
    const share = await miner.mine({ extranonce2 });
    if (/[a-f]/.test(share.nonce)) return share;
  }
  throw new CaseSkipped('no share with a letter in its nonce was found');
}

function fieldsOf(miner: Miner, { jobId, extranonce2, ntime, nonce }: Share): Fields {
  return { user: miner.user, job: jobId, extranonce2, ntime, nonce };
}

function hexOf(character: string): string {
  return character.charCodeAt(0).toString(16).padStart(2, '0');
}
