// Runs the cases one after the other, a transcript each, and judges the wire rules on all that was seen.
import { type ConformanceCase, type Level, type PoolSettings, PoolUnderTest } from './case.js';
import { CaseFailure, CaseSkipped } from './expectation.js';
import { OBSERVATIONS } from './observations.js';
import { Transcript } from './transcript.js';

/** A share that a new tip made stale under a case says nothing about the pool: the case is run again. */
const ATTEMPTS_MAX = 3;

export interface CaseResult {
  readonly name: string;
  readonly level: Level;
  readonly rule: string;
  readonly source: string;
  readonly outcome: 'pass' | 'fail' | 'skipped';
  /** What was expected and seen, where it failed. */
  readonly expected?: string;
  readonly got?: string;
  /** Why it was skipped, or a remark. */
  readonly remark?: string;
  readonly durationMs: number;
  readonly transcript: readonly string[];
}

export interface RunOptions {
  readonly slow: boolean;
  readonly hostile: boolean;
  /** Called as results come. */
  readonly onResult?: (result: CaseResult) => void;
}

/** Runs `cases` in their order against the pool. Never throws for what the pool does. */
export async function runCases(
  settings: PoolSettings,
  cases: readonly ConformanceCase[],
  options: RunOptions,
): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  const wire = new WireRules(settings.host);
  const add = (result: CaseResult): void => {
    results.push(result);
    options.onResult?.(result);
  };
  for (const one of cases) {
    const held =
      one.slow === true && !options.slow
        ? 'slow: --slow runs it'
        : one.hostile === true && !options.hostile
          ? 'hostile: --hostile runs it against another machine'
          : null;
    if (held !== null)
      add({ ...facts(one), outcome: 'skipped', remark: held, durationMs: 0, transcript: [] });
    else add(await runCase(settings, one, wire));
  }
  for (const result of wire.results()) add(result);
  return results;
}

async function runCase(settings: PoolSettings, one: ConformanceCase, wire: WireRules): Promise<CaseResult> {
  const startMs = performance.now();
  for (let attempt = 1; ; attempt++) {
    const transcript = new Transcript();
    const pool = new PoolUnderTest(settings, transcript);
    let ending: Partial<CaseResult> & Pick<CaseResult, 'outcome'>;
    try {
      const remark = await one.run(pool);
      ending = remark === undefined ? { outcome: 'pass' } : { outcome: 'pass', remark };
    } catch (error) {
      if (error instanceof CaseSkipped) ending = { outcome: 'skipped', remark: error.message };
      else if (error instanceof CaseFailure) {
        const { expected, got } = error;
        ending = { outcome: 'fail', expected, got };
      } else throw new Error(`the suite itself failed in ${one.name}`, { cause: error });
    } finally {
      pool.close();
    }
    wire.look(one.name, pool, transcript);
    if (ending.outcome === 'fail' && pool.tipMoved && attempt < ATTEMPTS_MAX) continue;
    return {
      ...facts(one),
      ...ending,
      durationMs: performance.now() - startMs,
      transcript: transcript.lines,
    };
  }
}

/** The wire rules over the whole run: the first violation of each is kept. */
class WireRules {
  readonly #host: string;
  readonly #judged = new Map<string, number>();
  readonly #violations = new Map<string, { got: string; transcript: readonly string[] }>();

  constructor(host: string) {
    this.#host = host;
  }

  look(caseName: string, pool: PoolUnderTest, transcript: Transcript): void {
    for (const { name, judge } of OBSERVATIONS) {
      for (const connection of pool.connections) {
        const judgement = judge(connection, this.#host);
        if (judgement === undefined) continue;
        this.#judged.set(name, (this.#judged.get(name) ?? 0) + 1);
        if (judgement === null || this.#violations.has(name)) continue;
        this.#violations.set(name, {
          got: `${judgement} (in ${caseName}, connection ${connection.number})`,
          transcript: transcript.lines,
        });
      }
    }
  }

  results(): CaseResult[] {
    return OBSERVATIONS.map((observation) => {
      const { name, rule } = observation;
      const connections = this.#judged.get(name) ?? 0;
      const violation = this.#violations.get(name);
      const common = { ...facts(observation), durationMs: 0, transcript: violation?.transcript ?? [] };
      if (violation !== undefined) return { ...common, outcome: 'fail', expected: rule, got: violation.got };
      if (connections === 0) return { ...common, outcome: 'skipped', remark: 'never seen on the wire' };
      return { ...common, outcome: 'pass', remark: `${connections} connections` };
    });
  }
}

function facts({ name, level, rule, source }: Pick<CaseResult, 'name' | 'level' | 'rule' | 'source'>) {
  return { name, level, rule, source };
}
