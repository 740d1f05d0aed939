// Errors of the HTTP API: application/problem+json, RFC 9457 (https://www.rfc-editor.org/rfc/rfc9457). The reason
// stands in the body and the status; `code` is stable, for programs.

/** Every problem the API can answer with; `code` never changes its meaning. */
export const PROBLEMS = {
  bad_request: { status: 400, title: 'Bad request' },
  not_found: { status: 404, title: 'Not found' },
  invalid_parameter: { status: 400, title: 'Invalid parameter' },
  range_too_long: { status: 422, title: 'Range too long' },
  not_acceptable: { status: 406, title: 'Not acceptable' },
  too_many_exports: { status: 429, title: 'Too many exports' },
  shares_unavailable: { status: 503, title: 'Shares unavailable' },
  method_not_allowed: { status: 405, title: 'Method not allowed' },
  internal_error: { status: 500, title: 'Internal error' },
  starting: { status: 503, title: 'The pool is starting' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof PROBLEMS;

/** Body of a problem answer. `detail` is a sentence for a person; never put secrets or stack traces into it. */
export function problemBody(code: ProblemCode, detail: string, instance: string, requestId: string): string {
  const { status, title } = PROBLEMS[code];
  const type = `/problems/${code.replaceAll('_', '-')}`;
  return `${JSON.stringify({ type, title, status, detail, instance, code, request_id: requestId })}\n`;
}
