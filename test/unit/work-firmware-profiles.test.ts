// Each profile has a transcript: what such a client sends at the start, written from the source named in its first
// line. It is replayed against the real session, and what comes back is held against the needs of the profile.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BoardJob } from '../../engine/stratum/job-board.js';
import type { PortProfile } from '../../engine/stratum/port-profile.js';
import { Session } from '../../engine/stratum/v1/session.js';
import type { SessionHost, SessionShare } from '../../engine/stratum/v1/session-host.js';
import {
  DEFAULT_FIRMWARE,
  FIRMWARE_PROFILES,
  type FirmwareNeed,
  firmwareProfile,
} from '../../engine/work/firmware-profiles.js';
import { verdictByName } from '../../engine/work/verdict.js';

const FIXTURES = join(process.cwd(), 'test/fixtures/firmware');
const USER = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080.rig1';

const PORT: PortProfile = {
  name: 'stratum',
  port: 3333,
  kind: 'tcp',
  startDifficulty: null,
  minDifficulty: null,
  maxDifficulty: null,
};

interface Line {
  id?: unknown;
  method?: string;
  params?: unknown[];
  result?: unknown;
  error?: unknown;
}

interface Turn {
  request: Line;
  /** Everything the session sent because of it, in order. */
  sent: Line[];
}

interface Exchange {
  turns: Turn[];
  shares: SessionShare[];
  closed: string[];
}

function job(key: number): BoardJob {
  const notifyLine = (clean: boolean): string =>
    `${JSON.stringify({
      id: null,
      method: 'mining.notify',
      params: [key.toString(16), '11'.repeat(32), '01', '02', [], '20000000', '207fffff', '6553f100', clean],
    })}\n`;
  const message = {
    key,
    id: key.toString(16),
    height: 10,
    previousBlockHash: '11'.repeat(32),
    previousBlock: new Uint8Array(32),
    version: 0x20000000,
    bits: 0x207fffff,
    networkTargetLE: new Uint8Array(32),
    networkDifficulty: 1e9,
    curtime: 0x6553f100,
    mintime: 0x6553f000,
    coinbase1: new Uint8Array(),
    coinbase2: new Uint8Array(),
    branch: [],
    notify: notifyLine(false),
    notifyClean: notifyLine(true),
  };
  const [notify, notifyClean] = [Buffer.from(message.notify), Buffer.from(message.notifyClean)] as const;
  return {
    ...{ key, slot: 0, inFlight: 0, message, coinbaseBytes: 200, notify, notifyClean },
    ...{ supersededAtMs: 0, stale: false, gone: false },
  };
}

/** Plays the lines to a new session; then a second job arrives. Every share is found good. */
function replay(lines: readonly string[]): Exchange {
  const exchange: Exchange = { turns: [], shares: [], closed: [] };
  const jobs = [job(1)];
  const all: Line[] = [];
  let sent: Line[] = [];
  let identities = 0;
  const host: SessionHost = {
    network: 'regtest',
    extranonce2Bytes: 8,
    software: 'test/1.0',
    startDifficulty: 512,
    difficultyFloor: 1e-9,
    difficultyCeiling: 1e9,
    vardiff: null,
    nowMs: () => 0,
    currentJob: () => jobs.at(-1) ?? null,
    findJob: (id) => jobs.find(({ message }) => message.id === id),
    leaseExtranonce1: () => Uint8Array.of(1, 2, 3, 4),
    takeClosedSession: () => null,
    recallDifficulty: () => null,
    rememberDifficulty: () => {},
    needJob: () => {},
    defineIdentity: () => ++identities,
    submitShare: (session, share, target) => {
      exchange.shares.push({ ...share, extranonce2: share.extranonce2.slice() });
      session.settle(share.requestId, verdictByName('accepted'), target.difficulty);
    },
    refuseShare: (session, refusal) => session.settle(refusal.requestId, verdictByName(refusal.verdict), 0),
    countUnjournaled: () => {},
    send: (_session, text) => {
      for (const line of text.split('\n').filter((part) => part !== '')) sent.push(JSON.parse(line) as Line);
    },
    sendShared: (_session, line) => sent.push(JSON.parse(line.toString('latin1')) as Line),
    warnOnce: () => {},
    authorized: () => {},
    close: (_session, reason) => exchange.closed.push(reason),
  };
  const session = new Session(host, 1, '127.0.0.1', PORT);
  for (const line of lines) {
    const known = all.concat(sent);
    const notify = known.findLast(({ method }) => method === 'mining.notify')?.params;
    const subscribed = known.find(({ result }) => Array.isArray(result) && result.length === 3)?.result;
    const bytes = Array.isArray(subscribed) ? Number(subscribed[2]) : 0;
    const text = line
      .replaceAll('{user}', USER)
      .replaceAll('{job}', String(notify?.[0]))
      .replaceAll('{ntime}', String(notify?.[7]))
      .replaceAll('{extranonce2}', 'a5'.repeat(bytes));
    sent = [];
    session.handleLine(Buffer.from(text), 0);
    session.endOfInput();
    all.push(...sent);
    exchange.turns.push({ request: JSON.parse(text) as Line, sent });
  }
  sent = [];
  jobs.push(job(2));
  session.sendJob(jobs[1] as BoardJob);
  exchange.turns.push({ request: {}, sent });
  return exchange;
}

const isReply = (line: Line): boolean => line.method === undefined;

function turnsOf(exchange: Exchange, method: string): Turn[] {
  return exchange.turns.filter(({ request }) => request.method === method);
}

const replyTo = ({ sent }: Turn): Line | undefined => sent.find(isReply);

/** Results of a method that must have been asked at least once. */
function results(exchange: Exchange, method: string): unknown[] {
  const turns = turnsOf(exchange, method);
  expect(turns.length).toBeGreaterThan(0);
  return turns.map((turn) => replyTo(turn)?.result);
}

function lines(exchange: Exchange, method: string): Line[] {
  return exchange.turns.flatMap(({ sent }) => sent).filter((line) => line.method === method);
}

const MEETS: Record<FirmwareNeed, (exchange: Exchange) => void> = {
  error_member: ({ turns }) => {
    for (const line of turns.flatMap(({ sent }) => sent).filter(isReply)) {
      expect(Object.keys(line).sort()).toEqual(['error', 'id', 'result']);
    }
  },
  subscribe_reply_first: (exchange) => {
    for (const { sent } of turnsOf(exchange, 'mining.subscribe'))
      expect(sent[0]).toMatchObject({ error: null });
  },
  subscription_pairs: (exchange) => {
    for (const result of results(exchange, 'mining.subscribe')) {
      const [pairs] = result as [unknown[][]];
      expect(pairs.map(([method]) => method)).toContain('mining.notify');
      for (const pair of pairs) expect(pair).toEqual([expect.any(String), expect.any(String)]);
    }
  },
  empty_params: (exchange) => {
    const empty = turnsOf(exchange, 'mining.subscribe').filter(({ request }) => request.params?.length === 0);
    expect(empty).toHaveLength(1);
    for (const turn of empty) expect(replyTo(turn)).toMatchObject({ error: null });
  },
  null_session_id: (exchange) => {
    expect(turnsOf(exchange, 'mining.subscribe')[0]?.request.params?.[1]).toBeNull();
    expect(results(exchange, 'mining.subscribe')).toEqual([[expect.any(Array), expect.any(String), 8]]);
  },
  extranonce2_min_4: (exchange) => {
    for (const result of results(exchange, 'mining.subscribe')) {
      expect((result as unknown[])[2]).toBeGreaterThanOrEqual(4);
    }
  },
  extranonce_subscribe: (exchange) => {
    expect(results(exchange, 'mining.extranonce.subscribe')).toEqual([true]);
  },
  suggest_before_subscribe: (exchange) => {
    expect(exchange.turns[0]?.request.method).toBe('mining.suggest_difficulty');
    expect(exchange.turns[0]?.sent).toMatchObject([{ error: null }]);
  },
  multi_version: (exchange) => expect(results(exchange, 'mining.multi_version')).toEqual([true]),
  no_unasked_mask: (exchange) => {
    const asked = (line: Line): boolean =>
      line.method === 'mining.configure' || line.method === 'mining.multi_version';
    for (const { request, sent } of exchange.turns) {
      if (sent.some(({ method }) => method === 'mining.set_version_mask')) expect(asked(request)).toBe(true);
    }
  },
  version_rolling: (exchange) => {
    expect(results(exchange, 'mining.configure')).toMatchObject([{ 'version-rolling': true }]);
    expect(exchange.shares[0]?.version).not.toBe(0x20000000);
  },
  whole_difficulty: (exchange) => {
    for (const { params } of lines(exchange, 'mining.set_difficulty'))
      expect(params?.[0]).toSatisfy(Number.isInteger);
  },
  job_sent_once: (exchange) => {
    const ids = lines(exchange, 'mining.notify').map(({ params }) => params?.[0]);
    expect(ids).toHaveLength(2);
    expect(new Set(ids).size).toBe(2);
  },
};

function transcript(name: string): { head: string; sends: string[] } {
  const [head = '', ...sends] = readFileSync(join(FIXTURES, `${name}.txt`), 'utf8')
    .trimEnd()
    .split('\n');
  return { head, sends };
}

describe.each(FIRMWARE_PROFILES.map((profile) => [profile.name, profile] as const))('%s', (name, profile) => {
  const { head, sends } = transcript(name);
  const exchange = replay(sends);

  it('has a transcript that names its source and whose agent leads to this profile', () => {
    expect(head).toMatch(/^# .{20,}/);
    const [agent] = turnsOf(exchange, 'mining.subscribe')[0]?.request.params ?? [];
    expect(firmwareProfile(typeof agent === 'string' ? agent : '')).toBe(profile);
  });

  it('gets one reply to each line, with its id, and stays connected', () => {
    for (const { request, sent } of exchange.turns.slice(0, -1)) {
      expect(sent.filter(isReply).map(({ id }) => id)).toEqual([request.id]);
    }
    expect(exchange.closed).toEqual([]);
  });

  it('has its share taken', () => {
    expect(exchange.shares).toMatchObject([{ nonce: 0x1a2b3c4d, ntime: 0x6553f100 }]);
    expect(exchange.shares[0]?.extranonce2.length).toBeLessThanOrEqual(profile.extranonce2BytesMax);
    expect(results(exchange, 'mining.submit')).toEqual([true]);
  });

  it('gets a new difficulty only right before a job', () => {
    if (!profile.difficultyOnlyWithJob) return;
    for (const { sent } of exchange.turns) {
      for (const [i, { method }] of sent.entries()) {
        if (method === 'mining.set_difficulty') expect(sent[i + 1]?.method).toBe('mining.notify');
      }
    }
  });

  it.each(profile.needs)('has its need met: %s', (need) => MEETS[need](exchange));
});

describe('the table', () => {
  it('has one profile for each transcript, and the other way round', () => {
    const files = readdirSync(FIXTURES).map((file) => file.replace(/\.txt$/, ''));
    expect(files.sort()).toEqual(FIRMWARE_PROFILES.map(({ name }) => name).sort());
  });

  it('says for each profile where it comes from, and stays within what is possible', () => {
    for (const profile of FIRMWARE_PROFILES) {
      expect(profile.source.length).toBeGreaterThan(20);
      expect(profile.extranonce2BytesMax).toBeGreaterThanOrEqual(4);
      expect(profile.coinbaseBytesMax).toBeGreaterThanOrEqual(255);
      expect(profile.userNameMax).toBeGreaterThanOrEqual(62);
    }
  });

  it.each([
    ['NiceHash/1.0.0', 'nicehash'],
    ['MiningRigRentals/Test/1.0', 'mining-rig-rentals'],
    ['Antminer S21|LUXminer 2026.3.2.193145-42668da4d|BHB68606|Unknown|Unknown|altairtech', 'luxos'],
    ['Antminer S21/Sat Dec  2 10:40:05 CST 2023', 'antminer-s21'],
    ['Antminer S21 Pro/Fri Aug 30 19:35:17 CST 2024', 'antminer-stock'],
    ['Antminer S21+ Hyd./Wed Apr 2 20:27:32 CST 2025', 'antminer-stock'],
    ['Antminer S19 XP/Fri Apr 12 14:53:57 CST 2024', 'antminer-stock'],
    ['Antminer T21', 'antminer-stock'],
    ['Antminer', 'antminer-stock'],
    ['bmminer/2.0.0', 'bmminer'],
    ['bmminer/4.11.1 rwglr', 'bmminer'],
    ['whatsminer/v1.0', 'whatsminer'],
    ['2022-09-27-0-26ba61b9-22.08.1-plus;bosminer-plus-am1-s9 0.9.0-26ba61b9', 'braiins-os'],
    ['bosminer-plus-tuner 0.9.0', 'braiins-os'],
    ['xminer-1.2.6-rc5', 'vnish'],
    ['PowerPlay-BM/1.3.0', 'epic'],
    ['NerdOCTAXE-/BM1370/v1.0.36', 'nerdqaxe'],
    ['NerdAxe/BM1366/v1.0.36', 'nerdqaxe'],
    ['NerdQX/BM1370/v1.0.37-beta2', 'nerdqaxe'],
    ['NerdMinerV2', 'nerdminer'],
    ['HAN_SOLOminer/V1.8.3', 'nerdminer'],
    ['bitaxe/BM1370/v2.13.1-hexos.1-dev.4', 'axeos'],
    ['Bitaxe', 'axeos'],
    ['cgminer/4.12.0-wrk', 'cgminer'],
    ['cpuminer-opt-26.1-x64L', 'cpuminer'],
    ['cpuminer-multi/1.3.7', 'cpuminer'],
    ['', 'unknown'],
    ['cpuminers-variant', 'unknown'],
    ['not a NiceHash/1.0.0', 'unknown'],
    ['sm-miner v8.16.67.1 2020-09-23, msp ver 0x8168', 'unknown'],
  ])('takes "%s" for %s', (agent, name) => {
    expect(firmwareProfile(agent).name).toBe(name);
  });

  it('has an answer for any text, and looks at 128 characters of it', () => {
    const parts = fc.constantFrom('|', ';', 'bosminer', 'LUXminer ', 'Antminer ', '/', '\0', 'ÿ');
    fc.assert(
      fc.property(fc.array(fc.oneof(parts, fc.string()), { maxLength: 200 }), (text) => {
        const agent = text.join('');
        expect(FIRMWARE_PROFILES).toContain(firmwareProfile(agent));
        expect(firmwareProfile(agent)).toBe(firmwareProfile(agent.slice(0, 128)));
      }),
      { seed: 4, numRuns: 1000 },
    );
    expect(firmwareProfile(`${'x'.repeat(60)};`.repeat(10_000))).toBe(DEFAULT_FIRMWARE);
  });
});
