// Brings a found block to every node: first to disk, then to all of them at once. No answer, an error or
// `inconclusive` is not a rejection: the node is asked whether it has the header, and is tried again while it
// is away. Submitting twice is harmless (BIP22, `duplicate`). A node that holds our block beside another one of
// the same height is asked to prefer ours (`preciousblock`): it would not even announce it to its peers.
// https://github.com/bitcoin/bips/blob/master/bip-0022.mediawiki#block-submission
import {
  type BlockCandidate,
  type RefusedCandidate,
  refusedCandidates,
  resolveCandidate,
  saveCandidate,
} from './block-candidates.js';
import type { NodeRpc } from './rpc.js';
import { NodeRpcError, RPC_DESERIALIZATION, RPC_NOT_FOUND } from './rpc-error.js';

export interface NodeVerdict {
  /** host:port. */
  node: string;
  /**
   * accepted: in its active chain. stored: it has the block, but prefers another one. rejected: it refuses
   * it. unknown: it could not be asked.
   */
  status: 'accepted' | 'stored' | 'rejected' | 'unknown';
  /** The node's word, or what kept it from answering. */
  reason: string;
  durationMs: number;
}

export interface SubmitOutcome {
  /**
   * accepted: in the active chain of at least one node. rejected: every node that answered refuses it.
   * inconclusive: held as a side branch, or no node could be asked.
   */
  status: 'accepted' | 'rejected' | 'inconclusive';
  reason: string;
  /** True when the block's file stays on disk, for `pendingCandidates` at the next start. */
  isPending: boolean;
  nodes: NodeVerdict[];
  durationMs: number;
}

export interface BlockSubmitterOptions {
  /** Clients of its own, so that a block waits behind no other call. */
  nodes: readonly NodeRpc[];
  /** Folder of the candidates' files. */
  candidateDir: string;
  /** Milliseconds to go on while nodes are away. Default 120,000. */
  retryForMs?: number;
  /** Told when the disk refuses the file or hangs; the block is submitted all the same. */
  onDiskError?: (error: Error) => void;
}

const RETRY_FOR_MS = 120_000;
/** A disk that hangs must not keep a block from the network: after this it goes out without its file. */
const DISK_WAIT_MS = 1000;
/** Once one node has answered, the others get this long to follow. */
const SETTLE_MS = 5000;
const PAUSE_MS_MIN = 50;
const PAUSE_MS_MAX = 2000;
/** Hashes of our own blocks remembered. */
const OURS_MAX = 1000;

/** See the file's head. Several blocks may be under way at once. */
export class BlockSubmitter {
  readonly #nodes: readonly NodeRpc[];
  readonly #folder: string;
  readonly #retryForMs: number;
  readonly #onDiskError: (error: Error) => void;
  readonly #ours = new Set<string>();

  constructor(options: BlockSubmitterOptions) {
    if (options.nodes.length === 0) throw new Error('a block submitter needs at least one node');
    this.#nodes = options.nodes;
    this.#folder = options.candidateDir;
    this.#retryForMs = options.retryForMs ?? RETRY_FOR_MS;
    this.#onDiskError = options.onDiskError ?? (() => {});
  }

  /** Submits the block and resolves when its fate is known or the time is over. Never rejects. */
  async submitBlock(block: BlockCandidate): Promise<SubmitOutcome> {
    const start = performance.now();
    this.#ours.add(block.hash);
    for (const hash of this.#ours) {
      if (this.#ours.size <= OURS_MAX) break;
      this.#ours.delete(hash);
    }
    await this.#onDisk(() => saveCandidate(this.#folder, block));
    const verdicts = await this.#askAll(block, start);
    const outcome = conclude(verdicts);
    const fate = outcome.isPending ? undefined : outcome.status === 'rejected' ? 'rejected' : 'stored';
    if (fate !== undefined) {
      await this.#onDisk(() => resolveCandidate(this.#folder, block, fate, outcome.reason));
    }
    return { ...outcome, nodes: verdicts, durationMs: performance.now() - start };
  }

  /** Blocks that were refused, also in earlier runs, as far as their files are kept. */
  refusedBlocks(): Promise<RefusedCandidate[]> {
    return refusedCandidates(this.#folder);
  }

  async #askAll(block: BlockCandidate, start: number): Promise<NodeVerdict[]> {
    const verdicts: NodeVerdict[] = this.#nodes.map((node) => ({
      node: node.name,
      status: 'unknown',
      reason: 'it has not answered yet',
      durationMs: 0,
    }));
    let answeredAt: number | undefined;
    const mayGoOn = () =>
      performance.now() < (answeredAt === undefined ? start + this.#retryForMs : answeredAt + SETTLE_MS);
    // A node that hangs in one call must not hold back what another one has decided.
    let settle = () => {};
    let timer: NodeJS.Timeout | undefined;
    const settled = new Promise<void>((resolve) => {
      settle = () => {
        timer ??= setTimeout(resolve, SETTLE_MS);
      };
    });
    const asked = this.#nodes.map(async (node, at) => {
      for (let attempt = 0; ; attempt++) {
        const { status, reason } = await submitTo(node, block, this.#ours);
        verdicts[at] = { node: node.name, status, reason, durationMs: performance.now() - start };
        if (status !== 'unknown') {
          answeredAt ??= performance.now();
          settle();
          return;
        }
        if (!mayGoOn() || node.isClosed) return;
        await new Promise((resolve) =>
          setTimeout(resolve, Math.min(PAUSE_MS_MIN * 2 ** Math.min(attempt, 10), PAUSE_MS_MAX)),
        );
      }
    });
    await Promise.race([Promise.all(asked), settled]);
    clearTimeout(timer);
    return [...verdicts];
  }

  async #onDisk(work: () => Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`the disk of ${this.#folder} does not answer within ${DISK_WAIT_MS} ms`)),
        DISK_WAIT_MS,
      );
    });
    try {
      await Promise.race([work(), tooLate]);
    } catch (error) {
      this.#onDiskError(error as Error);
    } finally {
      clearTimeout(timer);
    }
  }
}

type Answer = Pick<NodeVerdict, 'status' | 'reason'>;

async function submitTo(node: NodeRpc, block: BlockCandidate, ours: ReadonlySet<string>): Promise<Answer> {
  const { hash, hex } = block;
  let reason: string;
  let isRefused: boolean;
  try {
    const word = await node.submitBlock(hex, { retryForMs: 0 });
    if (word === null) return { status: 'accepted', reason: 'accepted' };
    reason = word;
    isRefused = word !== 'duplicate' && !word.includes('inconclusive');
  } catch (error) {
    reason = (error as Error).message;
    isRefused = error instanceof NodeRpcError && error.code === RPC_DESERIALIZATION;
  }
  // Whatever the word was, the chain decides: pools have been told "rejected" for blocks that were in it.
  try {
    let { confirmations } = await node.getBlockHeader(hash, { retryForMs: 0 });
    if (confirmations < 1 && !isRefused) confirmations = await prefer(node, block, ours);
    if (confirmations >= 1) return { status: 'accepted', reason };
    return { status: isRefused ? 'rejected' : 'stored', reason };
  } catch (error) {
    const isUnknownThere = error instanceof NodeRpcError && error.code === RPC_NOT_FOUND;
    return { status: isRefused && isUnknownThere ? 'rejected' : 'unknown', reason };
  }
}

/**
 * Confirmations of our block after the node was asked to prefer it to a rival that is not ours as well. At once,
 * not after a while as other pools do to spare their next template: in this race only the announcement counts.
 */
async function prefer(
  node: NodeRpc,
  { height, hash }: BlockCandidate,
  ours: ReadonlySet<string>,
): Promise<number> {
  try {
    const rival = await node.getBlockHash(height, { retryForMs: 0 });
    if (!ours.has(rival)) await node.preciousBlock(hash, { retryForMs: 0 });
  } catch {
    // It is as good as before: held as a side branch.
  }
  return (await node.getBlockHeader(hash, { retryForMs: 0 })).confirmations;
}

function conclude(verdicts: readonly NodeVerdict[]): Pick<SubmitOutcome, 'status' | 'reason' | 'isPending'> {
  const first = (status: NodeVerdict['status']) => verdicts.find((verdict) => verdict.status === status);
  const accepted = first('accepted');
  if (accepted !== undefined) return { status: 'accepted', reason: accepted.reason, isPending: false };
  const stored = first('stored');
  if (stored !== undefined) return { status: 'inconclusive', reason: stored.reason, isPending: false };
  const rejected = first('rejected');
  if (rejected !== undefined) return { status: 'rejected', reason: rejected.reason, isPending: false };
  const unknown = first('unknown');
  return { status: 'inconclusive', reason: unknown?.reason ?? 'no node', isPending: true };
}
