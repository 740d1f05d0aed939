// A full disk under the journals: as root each lane's folder is a tmpfs that shrinks to what it holds, else the fault
// injector makes writes to segments fail with ENOSPC.
import { execFileSync } from 'node:child_process';
import { mkdirSync, statfsSync } from 'node:fs';
import { laneFolder } from '../../storage/journal/lanes.js';
import type { FaultSwitch } from './faults.js';

const SIZE_BYTES = 1024 * 1024 * 1024;
/** A journal that grows between the look and the cut makes the cut fail. */
const TRIES = 20;

export class FullDisk {
  readonly #faults: FaultSwitch;
  readonly #mounted: string[] = [];

  /** To be made before the pool starts. */
  constructor(dataFolder: string, lanes: number, faults: FaultSwitch) {
    this.#faults = faults;
    for (let lane = 1; lane <= lanes; lane++) {
      const folder = laneFolder(dataFolder, lane);
      mkdirSync(folder, { recursive: true });
      try {
        mount(['-t', 'tmpfs', '-o', `size=${SIZE_BYTES}`, 'tmpfs', folder]);
      } catch {
        // Not allowed to mount. All lanes alike.
        return;
      }
      this.#mounted.push(folder);
    }
  }

  get how(): string {
    return this.#mounted.length > 0 ? 'a file system without space' : 'an injected ENOSPC';
  }

  fill(): void {
    if (this.#mounted.length === 0) this.#faults.setJournalFull(true);
    for (const folder of this.#mounted) shrink(folder);
  }

  makeSpace(): void {
    if (this.#mounted.length === 0) this.#faults.setJournalFull(false);
    for (const folder of this.#mounted) mount(['-o', `remount,size=${SIZE_BYTES}`, folder]);
  }

  /** What is in them is gone. */
  unmount(): void {
    for (const folder of this.#mounted.splice(0)) execFileSync('umount', ['-l', folder]);
  }
}

function shrink(folder: string): void {
  for (let attempt = 1; ; attempt++) {
    const { blocks, bfree, bsize } = statfsSync(folder);
    try {
      mount(['-o', `remount,size=${(blocks - bfree) * bsize}`, folder]);
      return;
    } catch (error) {
      if (attempt === TRIES) throw error;
    }
  }
}

function mount(args: readonly string[]): void {
  execFileSync('mount', args, { stdio: 'pipe' });
}
