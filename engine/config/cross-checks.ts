// Rules between settings, and those a schema cannot say.
import { scriptFromAddress } from '../bitcoin/address.js';
import type { NetworkName } from '../bitcoin/networks.js';
import { parseSchemeFee, stratumPorts } from './config.js';
import { maskUrl } from './mask.js';
import { SETTINGS, type Setting, type SettingKey, type Settings } from './settings.js';
import type { ConfigError, GivenValue } from './sources.js';

const GENESIS_MS = Date.UTC(2009, 0, 3);
const OWN_CHAINS: readonly NetworkName[] = ['private', 'regtest'];

/** @returns what is wrong; settings in `wrong` are wrong by themselves and not looked at again */
export function crossChecks(
  s: Settings,
  given: ReadonlyMap<SettingKey, GivenValue>,
  wrong: ReadonlySet<string>,
): ConfigError[] {
  const errors: ConfigError[] = [];
  const refuse = (key: SettingKey, value: unknown, expected: string) => {
    if (wrong.has(key)) return;
    const source = given.get(key);
    const setting = SETTINGS.find((one) => one.key === key) as Setting;
    errors.push({
      key: source?.name ?? setting.variable,
      place: source?.place ?? (value === undefined ? 'not set' : 'default'),
      value: value === undefined ? null : shown(setting, value),
      expected,
    });
  };
  // The shortest decimal of the double is what the operator typed, so the check is exact.
  if (!/^\d+(\.\d{1,4})?$/.test(String(s.pool_fee)))
    refuse('pool_fee', s.pool_fee, 'a percentage with at most 4 decimals');
  if (!/^\d+(\.\d{1,3})?$/.test(String(s.pplns_window))) {
    refuse('pplns_window', s.pplns_window, 'a multiple of the network difficulty with at most 3 decimals');
  }
  if (s.auto_payout_threshold < s.min_payout) {
    refuse(
      'auto_payout_threshold',
      s.auto_payout_threshold,
      `at least MIN_PAYOUT, which is ${s.min_payout} sats`,
    );
  }
  if (!OWN_CHAINS.includes(s.network)) {
    const why = `network ${s.network} is mined only with it; expected`;
    if (s.pool_address === undefined)
      refuse('pool_address', undefined, `${why} an address of yours on ${s.network}`);
    if (s.bitcoin_rpc_url === undefined)
      refuse('bitcoin_rpc_url', undefined, `${why} http://user:password@host:port`);
  }
  for (const key of ['pool_address', 'cold_address'] as const) {
    const address = s[key];
    if (address === undefined || wrong.has('network')) continue;
    try {
      scriptFromAddress(address, s.network);
    } catch (error) {
      refuse(key, address, `an address of ${s.network}: ${(error as Error).message}`);
    }
  }
  const named = (s.scheme_fees ?? []).map((text) => parseSchemeFee(text)?.scheme);
  const twice = named.find((scheme, index) => named.indexOf(scheme) !== index);
  if (twice !== undefined) refuse('scheme_fees', s.scheme_fees, `each scheme once, not ${twice} again`);
  if (s.fee_rate_min > s.fee_rate_max) {
    refuse('fee_rate_min', s.fee_rate_min, `at most FEE_RATE_MAX, which is ${s.fee_rate_max}`);
  }
  if (s.hot_wallet_max > 0 && s.cold_address === undefined) {
    refuse('cold_address', undefined, 'HOT_WALLET_MAX needs it; expected the address of your cold wallet');
  }
  if (s.hot_wallet_max > 0 && s.hot_wallet_min > s.hot_wallet_max) {
    refuse('hot_wallet_min', s.hot_wallet_min, `at most HOT_WALLET_MAX, which is ${s.hot_wallet_max} sats`);
  }
  checkMultisig(s, refuse);
  checkLightning(s, refuse);
  checkCoinbase(s, wrong, refuse);
  for (const [one, other] of [
    ['tls_cert_file', 'tls_key_file'],
    ['tls_key_file', 'tls_cert_file'],
  ] as const) {
    if (s[one] !== undefined && s[other] === undefined) {
      refuse(other, undefined, `TLS needs it beside ${one.toUpperCase()}; expected a path`);
    }
  }
  const further = wrong.has('stratum_ports') ? [] : stratumPorts(s).slice(1);
  if (s.tls_cert_file === undefined && further.some(({ kind }) => kind === 'tls')) {
    refuse('stratum_ports', s.stratum_ports, 'TLS_CERT_FILE and TLS_KEY_FILE beside a TLS port');
  }
  const names = further.map(({ name }) => name);
  const same = names.find((name, index) => name === 'stratum' || names.indexOf(name) !== index);
  if (same !== undefined)
    refuse('stratum_ports', s.stratum_ports, `a name of its own for each port, not "${same}" again`);
  if (s.vardiff_min !== undefined && s.vardiff_min > s.vardiff_max) {
    refuse('vardiff_min', s.vardiff_min, `at most VARDIFF_MAX, which is ${s.vardiff_max}`);
  }
  for (const key of ['shares_keep_days', 'minutes_keep_days', 'hours_keep_days'] as const) {
    // The journal brings yesterday's shares after an outage; they must not be gone the moment they arrive.
    if (s[key] === 1) refuse(key, s[key], '0 (for ever) or at least 2 days');
  }
  if (s.clickhouse_cluster !== undefined && s.clickhouse_url === undefined) {
    refuse('clickhouse_url', undefined, 'CLICKHOUSE_CLUSTER needs it; expected a node of the cluster');
  }
  const ports = new Map<number, string>();
  for (const { port, name } of further) {
    if (port === 0) continue;
    if (ports.has(port)) refuse('stratum_ports', s.stratum_ports, `each port once, not ${port} again`);
    ports.set(port, `STRATUM_PORTS (${name})`);
  }
  for (const key of ['stratum_port', 'api_port', 'clickhouse_port'] as const) {
    const port = s[key];
    const other = ports.get(port);
    if (port !== 0 && other !== undefined) refuse(key, port, `a port of its own: ${other} has the same`);
    ports.set(port, key.toUpperCase());
  }
  return errors;
}

type Refuse = (key: SettingKey, value: unknown, expected: string) => void;

function checkMultisig(s: Settings, refuse: Refuse): void {
  const needed = s.multisig_since === undefined ? 'SIGNER_SOCKETS' : 'MULTISIG_SINCE';
  if (s.multisig_descriptor === undefined && (s.signer_sockets ?? s.multisig_since) !== undefined) {
    refuse('multisig_descriptor', undefined, `${needed} needs it; expected the descriptor of the multisig`);
  }
  if (s.signer_sockets !== undefined && new Set(s.signer_sockets).size < s.signer_sockets.length) {
    refuse('signer_sockets', s.signer_sockets, 'each signer once');
  }
  if (s.multisig_since === undefined) return;
  const since = new Date(`${s.multisig_since}T00:00:00Z`);
  // Date takes 31 February for 3 March.
  if (Number.isNaN(since.getTime()) || since.toISOString().slice(0, 10) !== s.multisig_since) {
    refuse('multisig_since', s.multisig_since, 'a day of the calendar, such as 2026-01-31');
  } else if (since.getTime() < GENESIS_MS) {
    refuse('multisig_since', s.multisig_since, 'a day since 2009-01-03, when the chain began');
  }
}

function checkLightning(s: Settings, refuse: Refuse): void {
  if (s.lnd_url !== undefined && s.cln_url !== undefined) {
    refuse('cln_url', s.cln_url, 'one Lightning node: LND_URL or CLN_URL, not both');
  }
  for (const [one, other] of [
    ['lnd_url', 'lnd_macaroon_file'],
    ['lnd_macaroon_file', 'lnd_url'],
    ['lnd_cert_file', 'lnd_url'],
    ['cln_url', 'cln_rune_file'],
    ['cln_rune_file', 'cln_url'],
    ['cln_cert_file', 'cln_url'],
  ] as const) {
    if (s[one] !== undefined && s[other] === undefined) {
      refuse(other, undefined, `${one.toUpperCase()} needs it beside it`);
    }
  }
  if (!/^\d+(\.\d{1,4})?$/.test(String(s.lightning_fee_max))) {
    refuse('lightning_fee_max', s.lightning_fee_max, 'a percentage with at most 4 decimals');
  }
  // One payment must not pass by the two people that a payout of its size needs.
  const isUsed = (s.lnd_url ?? s.cln_url) !== undefined;
  if (isUsed && s.payout_approval_above > 0 && s.lightning_max_sats > s.payout_approval_above) {
    refuse(
      'lightning_max_sats',
      s.lightning_max_sats,
      `at most PAYOUT_APPROVAL_ABOVE, which is ${s.payout_approval_above} sats`,
    );
  }
}

/** All miners work on one coinbase: one that pays others cannot be a SOLO finder's. */
function checkCoinbase(s: Settings, wrong: ReadonlySet<string>, refuse: Refuse): void {
  if (s.coinbase_pays !== 'miners') return;
  const expected = 'another scheme: COINBASE_PAYS=miners and solo exclude each other';
  if (s.payout_scheme === 'solo') refuse('payout_scheme', s.payout_scheme, expected);
  if (wrong.has('stratum_ports')) return;
  if (stratumPorts(s).some(({ scheme }) => scheme === 'solo')) {
    refuse('stratum_ports', s.stratum_ports, expected);
  }
}

/** A value as the operator may see it. */
export function shown(setting: Setting, value: unknown): string {
  const items = Array.isArray(value)
    ? value.map(String)
    : typeof value === 'object'
      ? [JSON.stringify(value)]
      : [String(value)];
  if (!setting.secret) return items.join(',');
  return items
    .flatMap((item) => item.split(','))
    .map((item) => maskUrl(item.trim()))
    .join(',');
}
