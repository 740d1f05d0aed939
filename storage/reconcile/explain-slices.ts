// What a slice of Postgres lacks or has too much of, and which shares that can be: a slice holds only sums, so a
// share is found by its work and by the first and last number of the slice. Pure but for its source of shares.
import type { Difference, StoredShare } from './minutes.js';
import type { Slice } from './postgres-side.js';

/** Shares remembered of one slice, to find the ones that make the difference. */
const CANDIDATES_MAX = 10_000;

interface Expected extends Slice {
  key: string;
}

/**
 * @param base where `reference` comes from, in words
 * @param reference called twice; the shares of the minute, in pages
 */
export async function explainSlices(
  node: number,
  minute: number,
  base: string,
  reference: () => Iterable<StoredShare[]> | AsyncIterable<StoredShare[]>,
  slices: readonly Slice[],
  rowsMax: number,
): Promise<Difference[]> {
  const expected = new Map<string, Expected>();
  for await (const page of reference()) for (const share of page) add(expected, share);
  const booked = new Map(slices.map((slice) => [keyOf(slice), slice]));
  const wrong = [...new Set([...expected.keys(), ...booked.keys()])]
    .filter((key) => {
      const [want, got] = [expected.get(key), booked.get(key)];
      return want?.shares !== got?.shares || want?.work !== got?.work;
    })
    .slice(0, rowsMax);
  const candidates = new Map<string, StoredShare[]>(wrong.map((key) => [key, []]));
  for await (const page of reference()) {
    for (const share of page) {
      const known = candidates.get(keyOf(share));
      if (known !== undefined && known.length < CANDIDATES_MAX) known.push(share);
    }
  }
  return wrong.map((key) => ({
    ...{ node, minute, store: 'postgres' as const },
    ...explain(base, expected.get(key), booked.get(key), candidates.get(key) ?? [], rowsMax),
  }));
}

function explain(
  base: string,
  want: Slice | undefined,
  got: Slice | undefined,
  shares: readonly StoredShare[],
  rowsMax: number,
): Pick<Difference, 'kind' | 'seqs' | 'detail'> {
  const slice = (want ?? got) as Slice;
  const round = slice.round === null ? '' : `, round ${slice.round}`;
  const who = `${slice.account}.${slice.worker} (${slice.verdict}${round})`;
  const seqsOf = (list: readonly StoredShare[]) => list.slice(0, rowsMax).map(({ seq }) => seq);
  if (got === undefined) {
    return { kind: 'missing', seqs: seqsOf(shares), detail: `Postgres has no slice of ${who}` };
  }
  const booked = `Postgres has ${got.shares} shares, work ${got.work} of ${who}`;
  if (want === undefined) return { kind: 'unknown', seqs: [], detail: `${booked}; ${base} has none` };
  const detail = `${booked}; ${base} has ${want.shares}, work ${want.work}`;
  const more = got.shares - want.shares;
  const work = got.work - want.work;
  if (more === 0) return { kind: 'different', seqs: seqsOf(shares), detail };
  const kind = more > 0 ? 'doubled' : 'missing';
  if (Math.abs(more) > 1) return { kind, seqs: seqsOf(shares), detail };
  const size = work < 0n ? -work : work;
  // Refused shares have no work here.
  const fitting = want.round === null ? shares : shares.filter((share) => share.work === size);
  const atEdge = fitting.filter(
    ({ seq }) => more < 0 && got.firstSeq > 0 && (seq < got.firstSeq || seq > got.lastSeq),
  );
  return { kind, seqs: seqsOf(atEdge.length > 0 ? atEdge : fitting), detail };
}

function add(expected: Map<string, Expected>, share: StoredShare): void {
  // Postgres books nothing of a submit without an account by minute.
  if (share.account === '' && share.verdict !== 'accepted') return;
  const key = keyOf(share);
  const accepted = share.verdict === 'accepted';
  const known = expected.get(key);
  if (known === undefined) {
    const { account, worker, verdict, seq } = share;
    expected.set(key, {
      ...{ key, account, worker, verdict, shares: 1, firstSeq: seq, lastSeq: seq },
      round: accepted ? share.round : null,
      work: accepted ? share.work : 0n,
    });
    return;
  }
  known.shares++;
  if (accepted) known.work += share.work;
  known.lastSeq = share.seq;
}

function keyOf({ account, worker, round, verdict }: StoredShare | Slice): string {
  return JSON.stringify([account, worker, verdict, verdict === 'accepted' ? round : null]);
}
