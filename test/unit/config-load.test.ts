// Configuration: four sources, one schema, every mistake named.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { parse } from 'smol-toml';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { helpText } from '../../engine/cli/help.js';
import { EXIT_CONFIG, prepareStart, projectVersion } from '../../engine/cli/prepare-start.js';
import type { Config } from '../../engine/config/config.js';
import { describeConfigError, loadConfig } from '../../engine/config/load.js';
import { printableConfig } from '../../engine/config/print.js';
import { SETTINGS } from '../../engine/config/settings.js';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'millrace-config-'));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

type Env = Record<string, string>;

function load(argv: string[] = [], env: Env = {}): Config {
  const result = loadConfig({ argv, env, cwd });
  if ('errors' in result) throw new Error(result.errors.map(describeConfigError).join('\n'));
  return result.config;
}

function mistakes(argv: string[] = [], env: Env = {}): string[] {
  const result = loadConfig({ argv, env, cwd });
  return 'errors' in result ? result.errors.map(describeConfigError) : [];
}

const write = (text: string, name = 'millrace.toml') => writeFileSync(join(cwd, name), text);

const MAINNET_ADDRESS = 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4';
const NODE = 'http://user:secret@127.0.0.1:8332';

describe('the four sources', () => {
  it('runs a private chain with everything of its own when nothing is set', () => {
    const config = load();
    expect(config).toMatchObject({
      network: 'private',
      stratumPort: 3333,
      apiPort: 3003,
      clickhousePort: 8123,
      bitcoinRpcUrls: [],
      databaseUrl: null,
      clickhouseUrl: null,
      poolAddress: null,
      feePpm: { pplns: 10_000, solo: 10_000, pps: 10_000, ppsplus: 10_000, fpps: 10_000 },
      reserveLimitSats: null,
      pplnsWindowPermille: 2000,
      simMiners: 3,
      simHashrateHs: null,
      dataDir: join(cwd, '.millrace'),
      configFile: null,
    });
    expect(config.hashWorkers).toBeGreaterThanOrEqual(1);
  });

  it('lets the file win over defaults, the environment over the file, flags over the environment', () => {
    write('stratum_port = 1001\napi_port = 1002\nclickhouse_port = 1003\n');
    const env = { API_PORT: '2002', CLICKHOUSE_PORT: '2003' };
    const config = load(['--clickhouse-port', '3303'], env);
    expect([config.stratumPort, config.apiPort, config.clickhousePort]).toEqual([1001, 2002, 3303]);
    expect(config.configFile).toBe(join(cwd, 'millrace.toml'));
    const sources = new Map(config.effective.map(({ setting, source }) => [setting.key, source]));
    expect(sources.get('stratum_port')).toBe('file');
    expect(sources.get('api_port')).toBe('environment');
    expect(sources.get('clickhouse_port')).toBe('flag');
    expect(sources.get('network')).toBe('default');
  });

  it('reads the file that --config names instead of millrace.toml', () => {
    write('stratum_port = 1001');
    write('stratum_port = 1002', 'other.toml');
    expect(load(['--config', 'other.toml']).stratumPort).toBe(1002);
    expect(mistakes(['--config', 'gone.toml'])).toEqual([
      `--config is ${JSON.stringify(join(cwd, 'gone.toml'))} (command line): expected a file that exists`,
    ]);
  });

  it('takes every setting by all three of its names', () => {
    const samples: Record<string, string> = {
      network: 'regtest',
      bitcoin_rpc_url: 'http://a:b@node:1',
      bitcoind: '/opt/bitcoind',
      pool_address: 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080',
      coinbase_tag: '/x/',
      coinbase_pays: 'miners',
      stratum_host: '127.0.0.1',
      vardiff_enabled: 'false',
      payout_scheme: 'solo',
      data_dir: '/data',
      journal_durability: 'power',
      database_url: 'postgres://a:b@h/d',
      clickhouse_url: 'http://h:8123',
      api_host: '::1',
      log_level: 'warn',
      stratum_ports: '4444?name=farm&start=1e6&min=65536,3335/ws',
      tls_cert_file: 'cert.pem',
      tls_key_file: '/etc/key.pem',
      proxy_protocol_from: '10.0.0.0/8,fd00::/8,192.0.2.7',
      connection_threads: '2',
      vardiff_power_of_two: 'true',
      auto_payout_threshold: '200001',
      scheme_fees: 'fpps=4,solo=0.5',
      payout_fee_payer: 'payees',
      fee_rate_min: '3',
      fee_confirm_target: '9',
      cold_address: 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080',
      clickhouse_cluster: 'pool',
      multisig_descriptor: 'wsh(sortedmulti(2,A,B,C))',
      multisig_since: '2024-02-29',
      signer_sockets: '/run/signer-1.sock,signer-2.sock',
      lnd_url: 'https://lnd:8080',
      lnd_macaroon_file: 'admin.macaroon',
      lnd_cert_file: '/lnd/tls.cert',
      cln_url: 'https://cln:3010',
      cln_rune_file: '/cln/rune',
      cln_cert_file: 'ca.pem',
      lightning_fee_max: '0.25',
    };
    for (const { key, variable, flag, kind } of SETTINGS) {
      const text =
        samples[key] ?? String(kind === 'number' ? (key === 'min_payout' ? 600 : 700).toString() : '');
      const value =
        key === 'hash_workers'
          ? '7'
          : key === 'job_refresh_interval' || key === 'db_pool_timeout'
            ? '30'
            : text;
      const bounded = key === 'pool_fee' ? '7' : key === 'share_cache_size' ? '70000' : value;
      const partners: Record<string, Env> = {
        pool_address: { NETWORK: 'regtest' },
        cold_address: { NETWORK: 'regtest' },
        clickhouse_cluster: { CLICKHOUSE_URL: 'http://h:8123' },
        hot_wallet_max: { COLD_ADDRESS: 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080', NETWORK: 'regtest' },
        tls_cert_file: { TLS_KEY_FILE: 'key.pem' },
        tls_key_file: { TLS_CERT_FILE: 'cert.pem' },
        multisig_since: { MULTISIG_DESCRIPTOR: 'wsh(sortedmulti(2,A,B,C))' },
        signer_sockets: { MULTISIG_DESCRIPTOR: 'wsh(sortedmulti(2,A,B,C))' },
        lnd_url: { LND_MACAROON_FILE: 'm' },
        lnd_macaroon_file: { LND_URL: 'http://localhost:1' },
        lnd_cert_file: { LND_URL: 'http://localhost:1', LND_MACAROON_FILE: 'm' },
        cln_url: { CLN_RUNE_FILE: 'r' },
        cln_rune_file: { CLN_URL: 'http://localhost:1' },
        cln_cert_file: { CLN_URL: 'http://localhost:1', CLN_RUNE_FILE: 'r' },
      };
      const extra = partners[key] ?? {};
      const byFlag = load([flag, bounded], extra);
      const byVariable = load([], { ...extra, [variable]: bounded });
      write(`${key} = ${kind === 'string' || kind === 'list' ? JSON.stringify(bounded) : bounded}`);
      const byFile = load([], extra);
      rmSync(join(cwd, 'millrace.toml'));
      const plain = ({ effective, configFile, ...rest }: Config) => rest;
      expect(plain(byFlag), key).toEqual(plain(byVariable));
      expect(plain(byFile), key).toEqual(plain(byVariable));
      expect(byFlag.effective.find((one) => one.setting.key === key)?.source).toBe('flag');
    }
  });

  it('switches a boolean on by its flag alone and off by --no-', () => {
    write('vardiff_enabled = false');
    expect(load().vardiff.enabled).toBe(false);
    expect(load(['--vardiff-enabled']).vardiff.enabled).toBe(true);
    expect(load(['--vardiff-enabled', 'off']).vardiff.enabled).toBe(false);
    expect(load(['--vardiff-enabled', '--api-port', '1']).vardiff.enabled).toBe(true);
    expect(load(['--no-vardiff-enabled'], { VARDIFF_ENABLED: 'yes' }).vardiff.enabled).toBe(false);
  });

  it('treats an empty environment variable as not set', () => {
    expect(load([], { DATABASE_URL: '', STRATUM_PORT: '  ' })).toMatchObject({
      databaseUrl: null,
      stratumPort: 3333,
    });
  });

  it('takes several nodes, separated by commas or as a TOML list', () => {
    expect(load([], { BITCOIN_RPC_URL: 'http://a:1, http://b:2' }).bitcoinRpcUrls).toEqual([
      'http://a:1',
      'http://b:2',
    ]);
    write('bitcoin_rpc_url = ["http://a:1", "http://b:2"]');
    expect(load().bitcoinRpcUrls).toEqual(['http://a:1', 'http://b:2']);
  });
});

describe('mistakes', () => {
  it('lists all of them at once, each with key, place, value and what was expected', () => {
    write('stratum_prot = 1\npool_fee = true\n[stratum]\nport = 1\n');
    const env = { STRATUM_PORT: '99999', MILLRACE_POOL_FEE: '2', MILLRACE_CACHE_DIR: '/c', UNRELATED: 'x' };
    const file = join(cwd, 'millrace.toml');
    expect(
      mistakes(['--network', 'mainet', '--databse-url=x', '--pplns-window', '1.0001', 'stray'], env),
    ).toEqual([
      '--databse-url (command line): no such flag; did you mean --database-url?',
      'stray (command line): only flags such as --stratum-port 3333 are expected; --help lists them',
      'MILLRACE_POOL_FEE (environment): not a setting; did you mean POOL_FEE?',
      `stratum_prot (${file}): no such key; did you mean stratum_port?`,
      `[stratum] (${file}): no tables: every key stands at the top level`,
      `pool_fee is "true" (${file}): expected a number from 0 to 100 (%, to 0.0001)`,
      'STRATUM_PORT is "99999" (environment): expected a whole number from 0 to 65535 (port, 0 = any free one)',
      '--network is "mainet" (command line): expected private, regtest, signet, testnet4 or mainnet',
      '--pplns-window is "1.0001" (command line): expected a multiple of the network difficulty with at most 3 decimals',
    ]);
  });

  it.each([
    ['STRATUM_PORT', '0x10'],
    ['STRATUM_PORT', '1e2x'],
    ['STRATUM_PORT', '-1'],
    ['SHARE_DIFFICULTY', '9e-11'],
    ['SHARE_DIFFICULTY', 'NaN'],
    ['SHARE_DIFFICULTY', 'Infinity'],
    ['VARDIFF_ENABLED', 'maybe'],
    ['DATABASE_URL', 'mysql://h/d'],
    ['DATABASE_URL', 'localhost'],
    ['CLICKHOUSE_URL', 'tcp://h:9000'],
    ['BITCOIN_RPC_URL', 'http://a:1,,http://b:2'],
    ['STRATUM_HOST', 'a b'],
    ['COINBASE_TAG', 'ümlaut'],
    ['POOL_FEE', '100.1'],
    ['JOB_REFRESH_INTERVAL', '1.5'],
    ['LOG_LEVEL', 'INFO'],
  ])('refuses %s=%s', (variable, value) => {
    const [mistake, ...more] = mistakes([], { [variable]: value });
    expect(more).toEqual([]);
    expect(mistake).toContain(`${variable} is `);
    expect(mistake).toContain('(environment): expected ');
  });

  it('accepts the lowest share difficulty, at which every hash counts', () => {
    expect(load([], { SHARE_DIFFICULTY: '1e-10' }).shareDifficulty).toBe(1e-10);
  });

  it('explains satoshis to whoever wrote bitcoins', () => {
    expect(mistakes([], { MIN_PAYOUT: '0.001' })[0]).toMatch(
      /whole number .*\(sats\); 0\.001 BTC would be 100000$/,
    );
  });

  it('refuses a flag without value, a flag given twice and a value for --no-', () => {
    expect(mistakes(['--stratum-port'])).toEqual([
      '--stratum-port (command line): a value: --stratum-port <port, 0 = any free one>',
    ]);
    expect(mistakes(['--api-port', '1', '--api-port=2'])[0]).toContain('expected to be given once');
    expect(mistakes(['--no-vardiff-enabled=true'])[0]).toContain('expected no value');
  });

  it('names line and column of broken TOML without quoting the file', () => {
    write('api_port = 1\ndatabase_url = "postgres://u:hunter22@h/d\n');
    const [mistake] = mistakes();
    expect(mistake).toMatch(/^line 2, column \d+ \(.*millrace\.toml\): valid TOML: /);
    expect(mistake).not.toContain('hunter22');
  });

  it('refuses a threshold below the smallest payment and two services on one port', () => {
    expect(mistakes(['--auto-payout-threshold', '99999'])).toEqual([
      '--auto-payout-threshold is "99999" (command line): expected at least MIN_PAYOUT, which is 100000 sats',
    ]);
    expect(mistakes(['--api-port', '3333'])).toEqual([
      '--api-port is "3333" (command line): expected a port of its own: STRATUM_PORT has the same',
    ]);
    expect(mistakes(['--api-port', '0', '--stratum-port', '0'])).toEqual([]);
  });

  it('never throws, whatever the arguments and variables hold', () => {
    const word = fc.oneof(
      fc.constantFrom(
        ...SETTINGS.map(({ flag }) => flag),
        '--config',
        '--help',
        '--',
        '-',
        '--no-vardiff-enabled',
      ),
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.constantFrom('1', 'true', '1e400', '-0', 'http://x', 'private'),
    );
    const variables = fc.dictionary(fc.constantFrom(...SETTINGS.map(({ variable }) => variable)), word);
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), variables, (argv, env) => {
        loadConfig({ argv, env, cwd });
      }),
      { seed: 2026, numRuns: 2000 },
    );
  });
});

describe('ports for miners', () => {
  it('reads kind, name and difficulties of further ports; the first is STRATUM_PORT', () => {
    const { stratumPorts, tls, proxyProtocolFrom } = load([
      ...['--stratum-ports', '4444?name=farm-1&start=1000000&min=65536&max=1e9, 3334/tls ,3335/ws'],
      ...['--tls-cert-file', 'a.pem', '--tls-key-file', '/b.pem', '--proxy-protocol-from', '10.0.0.0/8,::1'],
    ]);
    const open = { startDifficulty: null, minDifficulty: null, maxDifficulty: null };
    expect(stratumPorts).toEqual([
      { name: 'stratum', port: 3333, kind: 'tcp', ...open },
      {
        ...{ name: 'farm-1', port: 4444, kind: 'tcp' },
        ...{ startDifficulty: 1_000_000, minDifficulty: 65_536, maxDifficulty: 1e9 },
      },
      { name: 'tls-3334', port: 3334, kind: 'tls', ...open },
      { name: 'ws-3335', port: 3335, kind: 'ws', ...open },
    ]);
    expect(tls).toEqual({ certFile: join(cwd, 'a.pem'), keyFile: '/b.pem' });
    expect(proxyProtocolFrom).toEqual(['10.0.0.0/8', '::1']);
  });

  it.each([
    ['70000', /expected PORT/],
    ['3334/udp', /expected PORT/],
    ['3334?min=5&max=4', /expected PORT/],
    ['3334?start=0', /expected PORT/],
    ['3334?start=NaN', /expected PORT/],
    ['3334?floor=1', /expected PORT/],
    ['3334?min=1&min=2', /expected PORT/],
    ['3334?name=Farm', /expected PORT/],
    ['3334/tls', /TLS_CERT_FILE/],
    ['3333', /a port of its own/],
    ['4444?name=a,5555?name=a', /a name of its own/],
    ['4444,4444?name=b', /each port once/],
  ])('refuses %s', (text, reason) => {
    expect(mistakes(['--stratum-ports', text]).join()).toMatch(reason);
  });

  it.each(['10.0.0.0/33', '10.0.0', 'balancer', '::/129', '10.0.0.0/8/8'])(
    'trusts no balancer %s',
    (text) => {
      expect(mistakes([], { PROXY_PROTOCOL_FROM: text }).join()).toMatch(
        /PROXY_PROTOCOL_FROM .*addresses or networks/,
      );
    },
  );

  it('wants both TLS files, and a floor of difficulty below its ceiling', () => {
    expect(mistakes(['--tls-cert-file', 'a.pem']).join()).toMatch(/TLS_KEY_FILE/);
    expect(mistakes(['--vardiff-min', '5', '--vardiff-max', '4']).join()).toMatch(/at most VARDIFF_MAX/);
  });
});

describe('money', () => {
  it('has a fee for each scheme, the pool fee where none is named', () => {
    expect(load(['--scheme-fees', 'fpps=4,solo=0.5', '--pool-fee', '2']).feePpm).toEqual({
      ...{ pplns: 20_000, pps: 20_000, ppsplus: 20_000 },
      ...{ fpps: 40_000, solo: 5000 },
    });
    for (const wrong of ['fpps', 'fpps=', 'fpps=101', 'fpps=1.00001', 'prop=1', 'fpps=-1', 'FPPS=1']) {
      expect(mistakes(['--scheme-fees', wrong]).join(), wrong).toMatch(/SCHEME=%/);
    }
    expect(mistakes(['--scheme-fees', 'pps=1,pps=2']).join()).toMatch(/each scheme once, not pps again/);
  });

  it('sweeps only to a cold wallet that it was told, of its own network', () => {
    const cold = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
    expect(mistakes(['--hot-wallet-max', '1000']).join()).toMatch(/COLD_ADDRESS.*HOT_WALLET_MAX needs it/);
    const net = ['--network', 'regtest', '--cold-address', cold];
    expect(load([...net, '--hot-wallet-max', '1000'])).toMatchObject({
      hotWalletMaxSats: 1000n,
      coldAddress: cold,
    });
    expect(mistakes(['--cold-address', cold]).join()).toMatch(/an address of private/);
    expect(mistakes([...net, '--hot-wallet-max', '1000', '--hot-wallet-min', '1001']).join()).toMatch(
      /at most HOT_WALLET_MAX/,
    );
    expect(mistakes(['--fee-rate-min', '60', '--fee-rate-max', '59']).join()).toMatch(/at most FEE_RATE_MAX/);
  });

  it('asks signers only for a multisig, each once, and looks for its coins from a real day on', () => {
    const descriptor = ['--multisig-descriptor', 'wsh(sortedmulti(2,A,B,C))'];
    expect(
      load([...descriptor, '--signer-sockets', 'a.sock,/b.sock', '--multisig-since', '2024-02-29']),
    ).toMatchObject({
      signerSockets: [join(cwd, 'a.sock'), '/b.sock'],
      multisigSinceS: Date.UTC(2024, 1, 29) / 1000,
    });
    expect(load(descriptor)).toMatchObject({ signerSockets: [], multisigSinceS: null });
    expect(mistakes(['--signer-sockets', 'a']).join()).toMatch(
      /MULTISIG_DESCRIPTOR.*SIGNER_SOCKETS needs it/,
    );
    expect(mistakes(['--multisig-since', '2024-01-01']).join()).toMatch(/MULTISIG_SINCE needs it/);
    expect(mistakes([...descriptor, '--signer-sockets', 'a,a']).join()).toMatch(/each signer once/);
    for (const wrong of ['2023-02-29', '2024-13-01', 'now', '1700000000', '2008-12-31']) {
      expect(mistakes([...descriptor, '--multisig-since', wrong]), wrong).toHaveLength(1);
    }
  });

  it('pays by Lightning with one node, its secret in a file, and never past the two people', () => {
    expect(load().lightning).toBeNull();
    const lnd = ['--lnd-url', 'https://lnd:8080', '--lnd-macaroon-file', 'm'];
    expect(load(lnd).lightning).toEqual({
      node: 'lnd',
      url: 'https://lnd:8080',
      secretFile: join(cwd, 'm'),
      certFile: null,
      amountMaxSats: 1_000_000n,
      feeMaxPpm: 5000,
      feeBaseSats: 10n,
    });
    const cln = ['--cln-url', 'https://cln:3010', '--cln-rune-file', '/r', '--cln-cert-file', 'ca.pem'];
    expect(load([...cln, '--lightning-fee-max', '0.0001']).lightning).toMatchObject({
      ...{ node: 'cln', url: 'https://cln:3010', secretFile: '/r', certFile: join(cwd, 'ca.pem') },
      feeMaxPpm: 1,
    });
    expect(mistakes([...lnd, ...cln]).join()).toMatch(/one Lightning node/);
    expect(mistakes(['--lnd-url', 'https://lnd:8080']).join()).toMatch(/LND_MACAROON_FILE.*LND_URL needs it/);
    expect(mistakes(['--cln-rune-file', 'r']).join()).toMatch(/CLN_URL.*CLN_RUNE_FILE needs it/);
    expect(mistakes(['--lnd-url', 'lnd:8080']).join()).toMatch(/https:\/\/host:port/);
    expect(mistakes(['--lightning-fee-max', '0.00001']).join()).toMatch(/at most 4 decimals/);
    const limit = ['--payout-approval-above', '999999'];
    expect(mistakes([...lnd, ...limit]).join()).toMatch(/LIGHTNING_MAX_SATS.*at most PAYOUT_APPROVAL_ABOVE/);
    expect(mistakes([...lnd, ...limit, '--lightning-max-sats', '999999'])).toEqual([]);
    expect(mistakes(limit)).toEqual([]);
  });

  it('keeps the fee exact, in parts per million', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1_000_000 }), (ppm) => {
        const percent = `${Math.floor(ppm / 10_000)}.${String(ppm % 10_000).padStart(4, '0')}`;
        expect(load(['--pool-fee', percent]).feePpm.pplns).toBe(ppm);
      }),
      { seed: 7, numRuns: 300 },
    );
  });

  it('mines a public chain only with an address of that chain and a node', () => {
    expect(mistakes(['--network', 'mainnet'])).toEqual([
      'POOL_ADDRESS (not set): network mainnet is mined only with it; expected an address of yours on mainnet',
      'BITCOIN_RPC_URL (not set): network mainnet is mined only with it; expected http://user:password@host:port',
    ]);
    const set = (address: string) =>
      mistakes(['--network=mainnet', `--pool-address=${address}`], { BITCOIN_RPC_URL: NODE });
    expect(set(MAINNET_ADDRESS)).toEqual([]);
    expect(set(`${MAINNET_ADDRESS.slice(0, -1)}5`)[0]).toContain('wrong checksum');
    expect(set('tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx')[0]).toContain('belongs to');
    expect(
      load(['--network=mainnet', '--pool-address', MAINNET_ADDRESS], { BITCOIN_RPC_URL: NODE }),
    ).toMatchObject({
      simMiners: 0,
      shareDifficulty: 8192,
      payoutFrequencyMs: 3_600_000,
    });
  });

  it('checks POOL_ADDRESS on a private chain too', () => {
    expect(mistakes(['--pool-address', MAINNET_ADDRESS])[0]).toContain('but the pool runs on private');
  });
});

describe('what is printed', () => {
  const secrets = {
    DATABASE_URL: 'postgres://pool:hunter22hunter@db/ledger?sslmode=require',
    CLICKHOUSE_URL: 'https://u:click%40house@ch:8443/pool',
    BITCOIN_RPC_URL: 'http://rpc:satoshi99@n1:8332,http://rpc:satoshi98@n2:8332',
  };

  it('shows the effective configuration as TOML that gives the same configuration, secrets masked', () => {
    const text = printableConfig(load(['--sim-miners', '0'], secrets));
    expect(text).not.toMatch(/hunter22|click%40house|satoshi9/);
    expect(text).toContain('postgres://pool:***@db/ledger?sslmode=require');
    expect(text).toMatch(/^sim_miners = 0 +# flag$/m);
    write(text);
    const again = load();
    expect(again.simMiners).toBe(0);
    const set = load([], secrets).effective.filter(({ value }) => value !== undefined);
    expect(Object.keys(parse(text)).sort()).toEqual(set.map(({ setting }) => setting.key).sort());
  });

  it('masks a secret that is refused', () => {
    const shown = mistakes([], { DATABASE_URL: 'mysql://u:hunter22@h/d', CLICKHOUSE_URL: 'hunter22' }).join(
      '\n',
    );
    expect(shown).toContain('mysql://u:***@h/d');
    expect(shown).not.toContain('hunter22');
    expect(mistakes(['postgres://u:hunter22@h/d']).join()).not.toContain('hunter22');
  });

  it('explains every setting in --help, with all names', () => {
    const help = helpText();
    for (const { flag, variable, description } of SETTINGS) {
      expect(help).toContain(`  ${flag} `);
      expect(help).toContain(`${variable}: `);
      expect(description.length).toBeGreaterThan(10);
    }
    expect(help.split('\n').every((line) => line.length <= 105)).toBe(true);
  });

  it('answers --help and --version before it looks at settings', () => {
    expect(prepareStart({ argv: ['--nonsense', '--help'], env: {}, cwd })).toEqual({
      text: helpText(),
      exitCode: 0,
    });
    expect(prepareStart({ argv: ['--version'], env: { STRATUM_PORT: 'x' }, cwd })).toEqual({
      text: `millrace ${projectVersion()}\n`,
      exitCode: 0,
    });
  });

  it('ends with the exit code for configuration when something is wrong', () => {
    const request = prepareStart({ argv: ['--print-config', '--api-port', 'x'], env: {}, cwd });
    expect(request).toMatchObject({ exitCode: EXIT_CONFIG });
    expect('text' in request && request.text).toMatch(
      /^Millrace does not start: a setting is wrong\.\n {2}--api-port is "x"/,
    );
  });
});
