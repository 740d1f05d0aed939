// Replies of Stratum V1. They always carry id, result and error (NiceHash refuses a reply without
// `error`). Error triples are [code, reason, null] with the codes of the field, see work/verdict.ts.

/** Answer to a request that cannot be carried out. */
export class StratumError extends Error {
  override readonly name = 'StratumError';
  readonly code: number;

  constructor(code: number, reason: string) {
    // A reason may quote what the miner sent, and replies are written as Latin-1.
    super(reason.replace(/[^\x20-\x7e]/g, '?'));
    this.code = code;
  }
}

/** @param id the request's id as JSON text. */
export function resultLine(id: string, result: unknown): string {
  return `{"id":${id},"result":${JSON.stringify(result)},"error":null}\n`;
}

/** @param id the request's id as JSON text; `null` when the request could not be read. */
export function errorLine(id: string, code: number, reason: string): string {
  return `{"id":${id},"result":null,"error":[${code},${JSON.stringify(reason)},null]}\n`;
}

/** A message the pool sends by itself. */
export function notificationLine(method: string, params: unknown[]): string {
  return `{"id":null,"method":"${method}","params":${JSON.stringify(params)}}\n`;
}
