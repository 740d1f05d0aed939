// Results as a table for people and as JSON for programs.
import type { CaseResult } from './run.js';

export interface Summary {
  readonly passed: number;
  readonly mustFailed: number;
  readonly shouldFailed: number;
  readonly skipped: number;
}

export function summaryOf(results: readonly CaseResult[]): Summary {
  const failed = results.filter(({ outcome }) => outcome === 'fail');
  return {
    passed: results.filter(({ outcome }) => outcome === 'pass').length,
    mustFailed: failed.filter(({ level }) => level === 'must').length,
    shouldFailed: failed.filter(({ level }) => level === 'should').length,
    skipped: results.filter(({ outcome }) => outcome === 'skipped').length,
  };
}

const WORDS = { pass: 'pass', fail: 'FAIL', skipped: 'skipped' } as const;

/** One line a case, printed as it ends. */
export function resultLine(result: CaseResult): string {
  const { outcome, level, name, expected, got, remark } = result;
  const detail = outcome === 'fail' ? `expected ${expected}; got ${got}` : (remark ?? '');
  return `${WORDS[outcome].padEnd(7)}  ${level.padEnd(6)}  ${name.padEnd(38)}  ${detail}`.trimEnd();
}

/** The transcripts of failed cases and the sums, printed behind the table. */
export function closingText(results: readonly CaseResult[]): string {
  const failures = results
    .filter(({ outcome }) => outcome === 'fail')
    .map(({ name, level, rule, source, expected, got, transcript }) =>
      [
        `${name} (${level}): ${rule}`,
        `  source    ${source}`,
        `  expected  ${expected}`,
        `  got       ${got}`,
        ...shortened(transcript).map((line) => `  ${line}`),
        '',
      ].join('\n'),
    );
  const { passed, mustFailed, shouldFailed, skipped } = summaryOf(results);
  const sums = `${passed} passed, ${mustFailed} must failed, ${shouldFailed} should failed, ${skipped} skipped`;
  return ['', ...failures, sums].join('\n');
}

export function resultsAsJson(host: string, port: number, results: readonly CaseResult[]): string {
  const cases = results.map(({ durationMs, transcript, ...rest }) => ({
    ...rest,
    duration_ms: Math.round(durationMs),
    ...(rest.outcome === 'fail' ? { transcript } : {}),
  }));
  const { passed, mustFailed, shouldFailed, skipped } = summaryOf(results);
  const summary = { passed, must_failed: mustFailed, should_failed: shouldFailed, skipped };
  return JSON.stringify({ host, port, summary, cases }, null, 2);
}

/** Head and tail of a long transcript. */
function shortened(lines: readonly string[]): readonly string[] {
  if (lines.length <= 40) return lines;
  return [...lines.slice(0, 15), `... ${lines.length - 40} lines ...`, ...lines.slice(-25)];
}
