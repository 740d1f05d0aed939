// The commands beside the pool itself, for main.ts and --help. Each is loaded when it is asked for.

export interface Command {
  name: string;
  /** What it does, in one line. */
  help: string;
  /** Takes what follows the name; resolves with the exit code. */
  load: () => Promise<(argv: readonly string[]) => Promise<number>>;
}

/** sysexits.h EX_USAGE. */
export const EXIT_USAGE = 64;

export const COMMANDS: readonly Command[] = [
  {
    name: 'journal',
    help: 'what the share journal holds: inspect, verify, export',
    load: async () => (await import('./journal.js')).journal,
  },
  {
    name: 'export',
    help: 'submits out of ClickHouse as Parquet, CSV or NDJSON',
    load: async () => (await import('./export.js')).exportShares,
  },
  {
    name: 'reconcile',
    help: 'journal, ClickHouse and Postgres compared minute by minute, differences share by share',
    load: async () => (await import('./reconcile.js')).reconcile,
  },
  {
    name: 'account',
    help: 'what an account has and chose, and where it is paid to',
    load: async () => (await import('./account.js')).account,
  },
  {
    name: 'payout',
    help: 'payouts: plan, status, request, approve, sign, release, cancel',
    load: async () => (await import('./payout.js')).payout,
  },
  {
    name: 'ledger',
    help: 'the books: an account, the pool and its reserve, deposits, the audit log',
    load: async () => (await import('./ledger.js')).ledger,
  },
  {
    name: 'verify',
    help: 'credits computed again from the raw shares, and by how much the ledger differs',
    load: async () => (await import('./verify.js')).verify,
  },
  {
    name: 'signer',
    help: 'signs payouts, on a machine of its own',
    load: async () => (await import('./signer.js')).signer,
  },
];

/** Runs the command that `argv` names; null when it names none and the pool itself is meant. */
export async function runCommand(argv: readonly string[]): Promise<number | null> {
  const [name, ...rest] = argv;
  if (name === undefined || name.startsWith('-')) return null;
  const command = COMMANDS.find((known) => known.name === name);
  if (command !== undefined) return await (await command.load())(rest);
  const near = nearest(name);
  process.stderr.write(
    `Millrace has no command ${JSON.stringify(name)}${near === null ? '' : `; did you mean ${near}?`}\n` +
      `Known: ${COMMANDS.map((known) => known.name).join(', ')}. millrace --help tells more.\n`,
  );
  return EXIT_USAGE;
}

/** The known name with the fewest changed letters, when that is at most a half of them. */
export function nearest(name: string, names: readonly string[] = COMMANDS.map((known) => known.name)) {
  const ranked = names
    .map((known) => ({ known, changes: editDistance(name.slice(0, 64), known) }))
    .sort((a, b) => a.changes - b.changes);
  const [best] = ranked;
  return best !== undefined && best.changes <= best.known.length / 2 ? best.known : null;
}

/** Letters put in, left out or replaced (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
