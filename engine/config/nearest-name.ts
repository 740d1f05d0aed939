// Guesses what a mistyped name was meant to be, for "did you mean" in error messages.

/**
 * The known name nearest to `name` by edits (insert, delete, replace, swap of neighbours), upper and lower case and
 * `-`/`_` alike; undefined when none is near: more than a third of it would have to change.
 */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  const wanted = plain(name);
  let best: string | undefined;
  let bestEdits = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const other = plain(candidate);
    const edits = editDistance(wanted, other);
    if (edits < bestEdits && edits <= Math.max(1, Math.floor(other.length / 3))) {
      best = candidate;
      bestEdits = edits;
    }
  }
  return best;
}

const NAME_LENGTH_MAX = 64;

const plain = (name: string): string =>
  name.toLowerCase().replace(/^-+/, '').replaceAll('-', '_').slice(0, NAME_LENGTH_MAX);

/** Optimal string alignment distance, row by row. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let edits = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, replace);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        edits = Math.min(edits, (beforeLast[j - 2] ?? 0) + 1);
      }
      row.push(edits);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
