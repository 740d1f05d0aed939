// What mining firmware and proxies can take, keyed by the agent text of mining.subscribe. Data only: a session asks
// once, when it subscribes. Each row names where its facts were read; what nobody has written down stays at the
// value of the default row, which is what the weakest known client at a farm's scale takes.
//
// Sources named more than once:
//   DATUM      OCEAN-xyz/datum_gateway: src/datum_stratum.c (datum_stratum_fingerprint_by_UA), src/datum_stratum.h,
//              doc/usernames.md
//   ckstats    Z3r0XG/ckstats-lhr: __tests__/utils/normalizeUserAgent.test.ts, agents observed in production
//   SRI        stratum-mining/stratum
//   ESP-Miner  bitaxeorg/ESP-Miner

/** What a client needs of the lines it gets; without it the client stays idle, errs or leaves. */
export type FirmwareNeed =
  /** `"error":null` in each successful reply. */
  | 'error_member'
  /** The first line after mining.subscribe is its reply; jobs and difficulty come after it. */
  | 'subscribe_reply_first'
  /** The first member of the subscribe result is a list of [method, id] pairs, one of them mining.notify. */
  | 'subscription_pairs'
  /** mining.subscribe with an empty list is answered like any other. */
  | 'empty_params'
  /** mining.subscribe with null for the session id is answered like any other. */
  | 'null_session_id'
  /** At least 4 bytes of extranonce2. */
  | 'extranonce2_min_4'
  /** mining.extranonce.subscribe is answered with true, also when the extranonce never changes. */
  | 'extranonce_subscribe'
  /** mining.suggest_difficulty as the very first line is answered, not punished. */
  | 'suggest_before_subscribe'
  /** mining.multi_version is answered with true. */
  | 'multi_version'
  /** mining.set_version_mask only after version rolling was asked for. */
  | 'no_unasked_mask'
  /** Version rolling is granted. */
  | 'version_rolling'
  /** Difficulties from 1 up are whole numbers: the client cuts fractions and would send shares below the target. */
  | 'whole_difficulty'
  /** A job id is never sent twice: the client starts its extranonce2 anew and sends duplicates. */
  | 'job_sent_once';

export interface FirmwareProfile {
  readonly name: string;
  /** Longest coinbase transaction it takes, both halves and extranonces included. */
  readonly coinbaseBytesMax: number;
  /** Longest extranonce2 it can count through. */
  readonly extranonce2BytesMax: number;
  /** Characters of a user name that arrive whole. 63 leaves a taproot address (62) no room for a worker name. */
  readonly userNameMax: number;
  /** Follows mining.set_extranonce, once it has asked for it with mining.extranonce.subscribe. */
  readonly setExtranonce: boolean;
  /** A new difficulty is applied to jobs it already has, or counted as its own rejects: send it with a job only. */
  readonly difficultyOnlyWithJob: boolean;
  readonly needs: readonly FirmwareNeed[];
  /** Where the facts of this row come from. */
  readonly source: string;
}

/** Agents are cut to this many characters; longer text is not looked at. */
const AGENT_MAX_CHARACTERS = 128;

/** For agents that no row knows. */
export const DEFAULT_FIRMWARE: FirmwareProfile = {
  name: 'unknown',
  coinbaseBytesMax: 500,
  extranonce2BytesMax: 8,
  userNameMax: 63,
  setExtranonce: false,
  difficultyOnlyWithJob: true,
  needs: ['error_member', 'subscribe_reply_first', 'subscription_pairs', 'job_sent_once'],
  source:
    'the least of what is known: coinbase of NiceHash (DATUM), extranonce2 of cgminer (SRI pull 501), user name of ' +
    'Avalon (DATUM); "majority of machines doesn\'t support" set_extranonce (stratum-mining/sv2-apps pull 247)',
};

type Row = readonly [agent: RegExp, facts: Partial<FirmwareProfile> & { name: string; source: string }];

// Patterns are anchored at the start, and each repetition is of one class with a bound: linear in hostile text.
const ROWS: readonly Row[] = [
  [
    /^NiceHash\//i,
    {
      name: 'nicehash',
      coinbaseBytesMax: 500,
      needs: ['error_member', 'extranonce2_min_4', 'extranonce_subscribe'],
      source:
        'coinbase: DATUM; error member: oliverw/miningcore issue 1709; extranonce2 of at least 4 bytes: ' +
        'Stratehm/stratum-proxy issues 52 and 63; extranonce.subscribe: nicehash/nheqminer issue 3',
    },
  ],
  [
    /^(?:MRR-Hash|MiningRigRentals)\//i,
    {
      name: 'mining-rig-rentals',
      needs: ['extranonce_subscribe'],
      source:
        'agents: ckstats; extranonce.subscribe unanswered leaves rented rigs idle: iriumlabs/irium ' +
        'pool/irium-stratum/src/stratum.rs; limits unknown: default row',
    },
  ],
  [
    // LuxOS names the machine first: "Antminer S19k Pro|LUXminer 2026.3.30...|board|board|board|owner".
    /^[^|]{1,64}\|LUXminer /,
    {
      name: 'luxos',
      coinbaseBytesMax: 750,
      source:
        'agent: ckstats; coinbase: DATUM gives it the default class for Antminers (one S19 XP took 10 kB in ' +
        'gridlabs-science/gridpool-blake2b docs/firmware-coinbase-compatibility-matrix.md, which warns not to generalize)',
    },
  ],
  [
    // Not "Antminer S21 Pro/": DATUM has not seen that one take it.
    /^Antminer S21\//,
    {
      name: 'antminer-s21',
      coinbaseBytesMax: 2250,
      source: 'agent, coinbase: DATUM; agent with build date: ckstats; difficulty as antminer-stock',
    },
  ],
  [
    /^Antminer(?:[ /]|$)/,
    {
      name: 'antminer-stock',
      coinbaseBytesMax: 750,
      source:
        'agents: ckstats; coinbase: DATUM; a difficulty between jobs shows as 12-16 % rejects in the S19 interface: ' +
        'SpiralPool/Spiral-Pool issue 10; set_extranonce: claimed for S4, S5, C1 in 2015 and doubted in the same ' +
        'thread (bitmaintech/cgminer pull 7), so not relied on',
    },
  ],
  [
    /^bmminer\//i,
    {
      name: 'bmminer',
      coinbaseBytesMax: 750,
      needs: ['subscribe_reply_first', 'subscription_pairs', 'empty_params'],
      source:
        'agent: dvandal/cryptonote-nodejs-pool issue 107, SpiralPool/Spiral-Pool issue 10, ckstats; coinbase: DATUM; ' +
        'a cgminer: extranonce2 of at most 8 bytes, checked only when it submits (SRI pull 501)',
    },
  ],
  [
    /^whatsminer\/v1/i,
    {
      name: 'whatsminer',
      coinbaseBytesMax: 6500,
      userNameMax: 127,
      needs: ['suggest_before_subscribe', 'multi_version', 'no_unasked_mask'],
      source:
        'coinbase, user name (overflows above 127): DATUM; extranonce2: SRI issue 1861; suggest_difficulty first: SRI ' +
        'pull 505; multi_version, and idle after an unasked set_version_mask (v1.1): iriumlabs/irium ' +
        'pool/irium-stratum/src/stratum.rs',
    },
  ],
  [
    // "2026-04-14-0-912d084c-26.04-plus;bosminer-plus-tuner 0.9.0-912d084c"
    /^(?:[^;]{1,96};)?bosminer/i,
    {
      name: 'braiins-os',
      coinbaseBytesMax: 2250,
      needs: ['null_session_id', 'version_rolling'],
      source:
        'coinbase: DATUM; agents: ckstats; null session id: SRI issue 964; requires version rolling: braiins/braiins ' +
        'issue 76',
    },
  ],
  [
    /^xminer-1\./,
    {
      name: 'vnish',
      coinbaseBytesMax: 16_000,
      source: 'agent, coinbase: DATUM (tested up to 16 kB); agent versions: ckstats',
    },
  ],
  [
    /^PowerPlay-BM\//,
    {
      name: 'epic',
      coinbaseBytesMax: 16_000,
      source: 'agent, coinbase: DATUM (almost any size, 16 kB at most)',
    },
  ],
  [
    /^Nerd(?:Q|OCT|EKO)?Axe|^NerdQX\//i,
    {
      name: 'nerdqaxe',
      setExtranonce: true,
      difficultyOnlyWithJob: false,
      needs: ['extranonce_subscribe'],
      source:
        'handshake, difficulty holds from the next job on: shufps/ESP-Miner-NerdQAxePlus issue 511; set_extranonce ' +
        'since v1.0.33: its issue 263; agents: ckstats; coinbase unknown: default row',
    },
  ],
  [
    /^(?:NerdMiner|Nerd Miner|HAN_SOLOminer)/,
    {
      name: 'nerdminer',
      coinbaseBytesMax: 255,
      needs: ['subscribe_reply_first', 'subscription_pairs'],
      source:
        'coinbase: BitMaker-hub/NerdMiner_v2 issue 809; handshake, the line read 200 ms after subscribe taken for its ' +
        'reply, only notify and set_difficulty understood: its src/stratum.cpp',
    },
  ],
  [
    /^bitaxe/i,
    {
      name: 'axeos',
      coinbaseBytesMax: 6500,
      setExtranonce: true,
      needs: ['extranonce_subscribe', 'whole_difficulty', 'job_sent_once'],
      source:
        'coinbase: DATUM; handshake, set_extranonce: ESP-Miner pull 1064; idle while extranonce.subscribe is unanswered: ' +
        'iriumlabs/irium pool/irium-stratum/src/stratum.rs; fractions cut up to v2.13.0: ESP-Miner issue ' +
        '1592; a new difficulty applied to old jobs: ESP-Miner issue 212; same job twice: ESP-Miner issue 1587',
    },
  ],
  [
    /^cgminer\//i,
    {
      // Avalon machines send this agent too.
      name: 'cgminer',
      needs: ['subscribe_reply_first', 'subscription_pairs', 'empty_params'],
      source:
        'handshake, the retry with empty parameters, no set_extranonce: kanoi/cgminer util.c (initiate_stratum, ' +
        'parse_method); extranonce2: SRI pull 501; Avalon cuts user names at 63: DATUM; Avalons fail on a pool with ' +
        'large coinbases: benjamin-wilson/public-pool issue 154',
    },
  ],
  [
    /^bfgminer\//i,
    {
      name: 'bfgminer',
      source:
        'no set_extranonce: luke-jr/bfgminer issue 684; agent: ckstats; suggests a difficulty and a target: ' +
        'litecoinpool.org news of 2014-06-17; limits unknown: default row',
    },
  ],
  [
    /^cpuminer(?:[-_/]|$)/i,
    {
      name: 'cpuminer',
      difficultyOnlyWithJob: false,
      needs: ['subscribe_reply_first', 'subscription_pairs', 'empty_params'],
      source:
        'handshake, the retry with empty parameters, difficulty held for the next job, no set_extranonce: ' +
        'pooler/cpuminer util.c; agents: ckstats; coinbase unlimited there, unknown in its many forks: default row',
    },
  ],
];

/** All known profiles, the default last. */
export const FIRMWARE_PROFILES: readonly FirmwareProfile[] = [
  ...ROWS.map(([, facts]) => ({ ...DEFAULT_FIRMWARE, ...facts })),
  DEFAULT_FIRMWARE,
];

/** The profile of the first row that knows the agent. `agent`: text of a stranger, may be empty. */
export function firmwareProfile(agent: string): FirmwareProfile {
  const known = agent.slice(0, AGENT_MAX_CHARACTERS);
  const row = ROWS.findIndex(([pattern]) => pattern.test(known));
  return FIRMWARE_PROFILES[row] ?? DEFAULT_FIRMWARE;
}
