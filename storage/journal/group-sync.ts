// Brings what was written to a segment onto the disk, one fdatasync at a time and never on the calling thread.
// Used by power-writer.ts. The name of a new segment is on the disk only when its folder is
// (fsync(2), "Calling fsync() does not necessarily ensure that the entry in the directory has reached disk").
import { close, fdatasync, fsync, open } from 'node:fs';

/** The calls that wait for the disk; tests put one that is slow, fails or never answers here. */
export interface DiskSync {
  /** fdatasync(2) of an open segment. */
  segment(fd: number, done: (error: Error | null) => void): void;
  /** fsync(2) of the folder at `path`. */
  folder(path: string, done: (error: Error | null) => void): void;
}

export const REAL_DISK: DiskSync = {
  segment: (fd, done) => fdatasync(fd, done),
  folder: (path, done) =>
    open(path, 'r', (error, fd) => {
      if (error !== null) return done(error);
      fsync(fd, (failed) => close(fd, () => done(failed)));
    }),
};

export class GroupSync {
  readonly #folder: string;
  readonly #disk: DiskSync;
  readonly #nowMs: () => number;
  /** The folder does not have the name of the present segment for sure. */
  #folderDue = true;
  #since: number | null = null;

  constructor(folder: string, disk: DiskSync, nowMs: () => number) {
    this.#folder = folder;
    this.#disk = disk;
    this.#nowMs = nowMs;
  }

  get running(): boolean {
    return this.#since !== null;
  }

  /** How long the disk has not answered, milliseconds; 0 when it owes no answer. */
  get runningMs(): number {
    return this.#since === null ? 0 : this.#nowMs() - this.#since;
  }

  /** A segment was begun: the next sync includes the folder. */
  segmentBegun(): void {
    this.#folderDue = true;
  }

  /** Syncs `fds`, and the folder when that is due. `done` is called once, with the first error. Not while one runs. */
  start(fds: readonly number[], done: (error: Error | null) => void): void {
    if (this.#since !== null) throw new Error('a sync is running');
    this.#since = this.#nowMs();
    const folderDue = this.#folderDue;
    let open = fds.length + (folderDue ? 1 : 0);
    let failed: Error | null = null;
    const one = (error: Error | null): void => {
      failed ??= error;
      if (--open > 0) return;
      this.#since = null;
      if (failed === null) this.#folderDue = false;
      done(failed);
    };
    for (const fd of fds) this.#disk.segment(fd, one);
    if (folderDue) this.#disk.folder(this.#folder, one);
  }
}
