// Further ports for miners, one text each: `3334/tls`, `4444?name=farm&start=1000000&min=65536`. A farm gets its own
// port so that its difficulty starts where it will end, and a rented rig one where it never falls too low.

import { isScheme, type Scheme } from '../accounting/schemes.js';

/** What a port is and how sessions on it start. */
export interface StratumPort {
  /** For logs and metrics: `[a-z0-9-]`, at most 32 characters. */
  readonly name: string;
  /** 0: any free one. */
  readonly port: number;
  readonly kind: 'tcp' | 'tls' | 'ws';
  /** Difficulty of a newcomer of whom nothing is known; null: the pool's. */
  readonly startDifficulty: number | null;
  /** Bounds of variable difficulty; null: the pool's. */
  readonly minDifficulty: number | null;
  readonly maxDifficulty: number | null;
  /** How work that comes by it is paid where the account does not say. Absent: as the pool's. */
  readonly scheme?: Scheme;
}

export const STRATUM_PORT_FORM = 'PORT[/tls|/ws][?start=D&min=D&max=D&name=N&scheme=S]';

const FORM = /^(\d{1,5})(?:\/(tcp|tls|ws))?(?:\?(.*))?$/;
const NAME = /^[a-z0-9-]{1,32}$/;
const DIFFICULTY_MIN = 1e-10;
const DIFFICULTY_MAX = 1e15;
const OPTIONS = new Set(['name', 'start', 'min', 'max', 'scheme']);

/** The port that `text` describes; null when it does not follow STRATUM_PORT_FORM. */
export function parseStratumPort(text: string): StratumPort | null {
  const found = FORM.exec(text);
  if (found === null) return null;
  const port = Number(found[1]);
  const kind = (found[2] ?? 'tcp') as StratumPort['kind'];
  const options = new URLSearchParams(found[3] ?? '');
  for (const key of options.keys()) if (!OPTIONS.has(key) || options.getAll(key).length > 1) return null;
  const name = options.get('name') ?? (kind === 'tcp' ? `port-${port}` : `${kind}-${port}`);
  const [start, min, max] = ['start', 'min', 'max'].map((key) => readDifficulty(options.get(key)));
  const scheme = options.get('scheme');
  if (scheme !== null && !isScheme(scheme)) return null;
  if (port > 65_535 || !NAME.test(name)) return null;
  if (start === undefined || min === undefined || max === undefined) return null;
  if ((min ?? 0) > (max ?? DIFFICULTY_MAX)) return null;
  if (start !== null && (start < (min ?? 0) || start > (max ?? DIFFICULTY_MAX))) return null;
  return {
    ...{ name, port, kind },
    ...(scheme === null ? {} : { scheme }),
    ...{ startDifficulty: start, minDifficulty: min, maxDifficulty: max },
  };
}

/** Null: not given; undefined: not a difficulty. */
function readDifficulty(text: string | null): number | null | undefined {
  if (text === null) return null;
  const value = /^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  return value >= DIFFICULTY_MIN && value <= DIFFICULTY_MAX ? value : undefined;
}
