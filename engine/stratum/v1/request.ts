// Reads one line of a peer. Nothing of it is trusted: the line is short (16 KiB), so that nesting is bounded too,
// and an id is only echoed as number, printable text or null.

/** Replies are written as Latin-1. */
const ID = /^[ -~]{0,64}$/;

export interface Request {
  /** As JSON text. */
  readonly id: string;
  readonly method: string;
  readonly params: readonly unknown[];
}

/** A line that is no request; the answer says why. */
export interface Unreadable {
  readonly id: string;
  readonly problem: string;
}

/** @returns null for a reply of the miner to something the pool sent: nobody waits for it. */
export function readRequest(line: Buffer): Request | Unreadable | null {
  let value: unknown;
  try {
    value = JSON.parse(line.toString('utf8'));
  } catch {
    return { id: 'null', problem: 'Malformed JSON' };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { id: 'null', problem: 'A request is a JSON object' };
  }
  const { id: given = null, method, params } = value as Record<string, unknown>;
  if (!isId(given)) return { id: 'null', problem: 'id must be a number, a short string or null' };
  const id = JSON.stringify(given);
  if (method === undefined && ('result' in value || 'error' in value)) return null;
  if (typeof method !== 'string') return { id, problem: 'A request needs a method' };
  const list = params ?? [];
  return Array.isArray(list) ? { id, method, params: list } : { id, problem: 'params must be a list' };
}

function isId(value: unknown): boolean {
  if (typeof value === 'string') return ID.test(value);
  return value === null || (typeof value === 'number' && Number.isFinite(value));
}
