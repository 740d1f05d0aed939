// The blocks that miners have found, on disk until a node has them: written before the first submission, so
// that a crash at the worst moment loses no block. One file a block, plain hex, its name says the rest; an
// operator can submit it by hand (`submitblock`).
import { appendFile, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

export interface BlockCandidate {
  height: number;
  /** Display order, hex. */
  hash: string;
  /** The whole serialized block, hex. */
  hex: string;
}

export interface RefusedCandidate {
  hash: string;
  /** The node's word for it. */
  reason: string;
}

const PENDING = /^(\d+)-([0-9a-f]{64})\.hex$/;
const REFUSED = /^\d+-([0-9a-f]{64})\.hex\.rejected$/;
const KEPT_MAX = 50;
const REASON_CHARS_MAX = 200;

/** Writes the block and waits until the disk has it, name included. */
export async function saveCandidate(folder: string, { height, hash, hex }: BlockCandidate): Promise<void> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${height}-${hash}.hex`);
  const file = await open(`${path}.part`, 'w');
  try {
    await file.writeFile(hex);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.part`, path);
  const directory = await open(folder, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Blocks whose fate was not known when the pool ended, lowest height first; to be submitted again. */
export async function pendingCandidates(folder: string): Promise<BlockCandidate[]> {
  const candidates: BlockCandidate[] = [];
  for (const name of await namesIn(folder)) {
    const match = PENDING.exec(name);
    if (match === null) continue;
    const [hex = ''] = (await readFile(join(folder, name), 'utf8')).split('\n');
    candidates.push({ height: Number(match[1]), hash: match[2] ?? '', hex });
  }
  return candidates.sort((a, b) => a.height - b.height);
}

/** Blocks that no node wanted, as far as they are kept. */
export async function refusedCandidates(folder: string): Promise<RefusedCandidate[]> {
  const refused: RefusedCandidate[] = [];
  for (const name of await namesIn(folder)) {
    const hash = REFUSED.exec(name)?.[1];
    if (hash === undefined) continue;
    const [, reason = ''] = (await readFile(join(folder, name), 'utf8')).split('\n');
    refused.push({ hash, reason: reason === '' ? 'refused in an earlier run' : reason });
  }
  return refused;
}

/**
 * The block's fate is known: one that a node has is removed, a rejected one is kept for inspection (the
 * newest 50) with the reason in a second line.
 */
export async function resolveCandidate(
  folder: string,
  { height, hash }: Pick<BlockCandidate, 'height' | 'hash'>,
  fate: 'stored' | 'rejected',
  reason: string,
): Promise<void> {
  const path = join(folder, `${height}-${hash}.hex`);
  if (fate === 'stored') {
    await rm(path, { force: true });
    return;
  }
  await appendFile(path, `\n${reason.replace(/\s+/g, ' ').slice(0, REASON_CHARS_MAX)}\n`);
  await rename(path, `${path}.rejected`);
  const rejected = (await namesIn(folder))
    .filter((name) => name.endsWith('.rejected'))
    .sort((a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10));
  for (const name of rejected.slice(KEPT_MAX)) await rm(join(folder, name), { force: true });
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
