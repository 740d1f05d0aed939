// The hashing of one soak miner: real proof of work on a walk that never visits a place twice, so that no share is
// found twice by chance. Used by miner.ts.
import { sha256d } from '../../engine/bitcoin/hash.js';
import type { NonceSearcher } from '../../wasm/nonce-searcher.js';
import { buildHeader, type MiningJob } from '../mining-job.js';
import { NonceRoller } from '../nonce-roller.js';
import type { Share } from './session.js';
import type { Intent } from './told-shares.js';

/** Byte offset of the nonce in a header. */
const NONCE_AT = 76;

export interface ShareSearchOptions {
  /** Shared by all miners of a process. */
  readonly searcher: NonceSearcher;
  /** The name that submits the next share. */
  readonly worker: () => number;
  /** Told how many nonces were tried. */
  readonly onHashes: (hashes: number) => void;
}

export class ShareSearch {
  readonly #options: ShareSearchOptions;
  readonly #roller = new NonceRoller();

  constructor(options: ShareSearchOptions) {
    this.#options = options;
  }

  /** Shares among the next `hashes` nonces (1 or more), at most `sharesMax`. Blocks the thread for as long as it takes. */
  shares(job: MiningJob, versionMask: number, hashes: number, sharesMax: number, intent: Intent): Share[] {
    const found: Share[] = [];
    const range = this.#roller.next(hashes, job.extranonce2Bytes, versionMask);
    if (range === null) return found;
    const { extranonce2, versionBits, firstNonce } = range;
    const header = buildHeader(job, { extranonce2, versionBits, versionMask, time: job.time, nonce: 0 });
    const end = firstNonce + range.count;
    for (let next = firstNonce; next < end && found.length < sharesMax; ) {
      const { nonce, hashes: tried } = this.#options.searcher.search(header, job.targetLE, next, end - next);
      this.#options.onHashes(tried);
      if (nonce === null) break;
      found.push(this.#share(job, header, extranonce2, versionBits, nonce, intent));
      next = nonce + 1;
    }
    return found;
  }

  /** The next nonce as if it were a share: sent as `low`, or as `work` where it happens to meet the target. */
  any(job: MiningJob, versionMask: number): Share | null {
    const range = this.#roller.next(1, job.extranonce2Bytes, versionMask);
    if (range === null) return null;
    const { extranonce2, versionBits, firstNonce: nonce } = range;
    const header = buildHeader(job, { extranonce2, versionBits, versionMask, time: job.time, nonce });
    const share = this.#share(job, header, extranonce2, versionBits, nonce, 'low');
    const meetsTarget = Buffer.from(share.hash).reverse().compare(Buffer.from(job.targetLE).reverse()) <= 0;
    return meetsTarget ? { ...share, intent: 'work' } : share;
  }

  #share(
    job: MiningJob,
    header: Uint8Array,
    extranonce2: Uint8Array,
    versionBits: number,
    nonce: number,
    intent: Intent,
  ): Share {
    const own = Buffer.from(header);
    own.writeUInt32LE(nonce, NONCE_AT);
    return {
      job,
      extranonce2,
      nonce,
      versionBits,
      hash: sha256d(own),
      worker: this.#options.worker(),
      intent,
    };
  }
}
