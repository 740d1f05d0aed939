// The suite "wasm": share validation, nonce search, hand-over to hash workers, each against references of the
// same run. What is measured is in wasm-hashing.ts and wasm-fanout.ts; goals are those of the project.
import { measureInProcesses } from './child-processes.js';
import { type Figure, figureOf, type Goal, median, type SuiteOptions, type SuiteResult } from './figures.js';

/** Figures of the suite. Throws when a path gives a hash or verdict that node:crypto does not. */
export async function suite({ quick, progress }: SuiteOptions): Promise<SuiteResult> {
  const processes = quick ? 3 : 5;
  const hashing = await measureInProcesses({
    program: './wasm-hashing.js',
    processes,
    args: quick ? ['5', '10'] : ['11', '25'],
    onStart: (run) => progress(`wasm: hashing, process ${run} of ${processes}`),
  });
  const fanout = await measureInProcesses({
    program: './wasm-fanout.js',
    processes,
    args: quick ? ['3', '200'] : ['6', '400'],
    onStart: (run) => progress(`wasm: hand-over to a worker, process ${run} of ${processes}`),
  });
  return {
    figures: [...hashingFigures(hashing), ...fanoutFigures(fanout)],
    method: [
      `medians over ${processes} processes; each lets the variants take turns and reports the median of its turns`,
      'one process in ten runs the nonce search slowly for its whole life (see the least values, and wasm/README.md)',
      'share: 244-byte coinbase with its first block as midstate, 12 merkle branches = 43 compressions of SHA-256',
    ],
  };
}

type Measured = ReadonlyMap<string, readonly number[]>;

function hashingFigures(measured: Measured): Figure[] {
  const simd = valuesOf(measured, 'share_simd');
  const scalar = valuesOf(measured, 'share_scalar');
  const noble = valuesOf(measured, 'share_noble');
  const native = valuesOf(measured, 'native');
  const createHash = valuesOf(measured, 'share_create_hash');
  const oneShot = measured.get('share_one_shot') ?? createHash;
  const [crypto, cryptoName] =
    median(oneShot) < median(createHash) ? [oneShot, 'crypto.hash'] : [createHash, 'createHash'];
  const searchSimd = valuesOf(measured, 'nonce_search_simd').map(megahashes);
  const searchScalar = valuesOf(measured, 'nonce_search_scalar').map(megahashes);
  const overSimd = (values: readonly number[]) => `${ratioText(values, simd)} x share_simd`;
  return [
    ns('wasm.share_simd_ns', simd, { most: 3800 }, `${ratioText(simd, native)} x native`),
    ns('wasm.share_simd_0_branches_ns', valuesOf(measured, 'share_simd_0_branches'), { most: 900 }),
    ns('wasm.share_scalar_ns', scalar, { most: 8000 }, overSimd(scalar)),
    ns('wasm.share_node_crypto_ns', crypto, undefined, `${overSimd(crypto)} (${cryptoName})`),
    ns('wasm.share_noble_ns', noble, undefined, overSimd(noble)),
    ns('wasm.native_sha256_ns', native, undefined, 'the limit: OpenSSL on 1 MiB, for 43 compressions'),
    times('wasm.share_scalar_to_simd', scalar, simd, { least: 2 }),
    times('wasm.share_node_crypto_to_simd', crypto, simd, { least: 6 }),
    times('wasm.share_noble_to_simd', noble, simd),
    times('wasm.share_simd_to_native', simd, native),
    figureOf('wasm.nonce_search_simd_mhs', 'MH/s', searchSimd, {
      goal: { least: 6.3 },
      ratio: `${ratioText(searchSimd, searchScalar)} x nonce_search_scalar`,
    }),
    figureOf('wasm.nonce_search_scalar_mhs', 'MH/s', searchScalar, { goal: { least: 2.8 } }),
    times('wasm.nonce_search_simd_to_scalar', searchSimd, searchScalar),
  ];
}

/**
 * Shares that flow, a turn of the loop each quarter of a millisecond, and shares in bunches of a millisecond with
 * nothing between, where the doorbell must wake the thread for the results.
 */
function fanoutFigures(measured: Measured): Figure[] {
  const figure = (name: string, unit: string, from: string, goal?: Goal, ratio?: string): Figure =>
    figureOf(name, unit, valuesOf(measured, from), { goal, ratio });
  return [
    figure('wasm.fanout_us', 'us', 'flowing_us', { most: 0.1 }, 'above the loop without hashing'),
    figure('wasm.fanout_latency_p50_ms', 'ms', 'flowing_p50_ms', { most: 0.5 }),
    figure('wasm.fanout_latency_p99_ms', 'ms', 'flowing_p99_ms', { most: 2 }),
    figure('wasm.fanout_bunches_us', 'us', 'bunches_us', undefined, 'woken by the doorbell each 1 ms'),
    figure('wasm.fanout_bunches_p50_ms', 'ms', 'bunches_p50_ms'),
    figure('wasm.fanout_bunches_p99_ms', 'ms', 'bunches_p99_ms'),
  ];
}

function valuesOf(measured: Measured, name: string): readonly number[] {
  const values = measured.get(name);
  if (values === undefined) throw new Error(`a measuring process did not report ${name}`);
  return values;
}

function ns(name: string, values: readonly number[], goal?: Goal, ratio?: string): Figure {
  return figureOf(name, 'ns', values, { goal, ratio });
}

/** The ratio of each process, then their median: a slow process is slow in both. */
function times(name: string, over: readonly number[], under: readonly number[], goal?: Goal): Figure {
  return figureOf(name, 'x', ratios(over, under), { goal });
}

function ratios(over: readonly number[], under: readonly number[]): number[] {
  return over.map((value, index) => value / (under[index] as number));
}

function ratioText(over: readonly number[], under: readonly number[]): string {
  return median(ratios(over, under)).toFixed(2);
}

/** Nanoseconds a hash to million hashes a second. */
function megahashes(hashNs: number): number {
  return 1000 / hashNs;
}
