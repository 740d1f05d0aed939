// The data folder of one pool: who holds it, and the facts that must outlive a restart. One pool at a
// time: two on one journal would answer shares that the other never sees.
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { processStartedAt } from './embedded/child-process.js';

/** Job keys reserved on disk at a time. */
const JOB_KEYS_RESERVED = 1000;
/** Starts of the pool before the epoch repeats; extranonce1 carries it (engine/work/extranonce.ts). */
const EPOCH_LIMIT = 2 ** 31;

export class DataFolder {
  readonly path: string;
  readonly #lockFile: string;

  private constructor(path: string) {
    this.path = path;
    this.#lockFile = join(path, 'pool.lock');
  }

  /**
   * Makes the folder when absent and takes it for this process.
   * @throws Error when another running pool holds it, or when it cannot be written.
   */
  static open(path: string): DataFolder {
    try {
      mkdirSync(path, { recursive: true });
    } catch (error) {
      throw new Error(
        `The data folder ${path} cannot be made (${(error as Error).message}). ` +
          'Set DATA_DIR to a folder that this user may write.',
      );
    }
    const folder = new DataFolder(path);
    folder.#lock();
    return folder;
  }

  /** Path of a file or folder inside. */
  file(...names: string[]): string {
    return join(this.path, ...names);
  }

  /**
   * Numbers for jobs: they grow and none is given twice, also after a crash. Reserved on disk in advance, so
   * that a job costs no write.
   */
  jobKeys(): { next(): number } {
    let next = this.#number('job-key') + 1;
    let reserved = next;
    return {
      next: () => {
        if (next === reserved) {
          this.write('job-key', String(reserved + JOB_KEYS_RESERVED));
          reserved += JOB_KEYS_RESERVED;
        }
        return next++;
      },
    };
  }

  /** Number of this start, growing: keeps extranonces and job ids of two runs apart. */
  nextEpoch(): number {
    const epoch = (this.#number('epoch') + 1) % EPOCH_LIMIT;
    this.write('epoch', String(epoch));
    return epoch;
  }

  /** Text of a small file, or null when it is not there. */
  read(name: string): string | null {
    const path = this.file(name);
    return existsSync(path) ? readFileSync(path, 'utf8').trim() : null;
  }

  /** Replaces a small file so that a crash leaves the old text or the new one. */
  write(name: string, text: string): void {
    const temporary = this.file(`${name}.new`);
    const fd = openSync(temporary, 'w', 0o600);
    writeSync(fd, `${text}\n`);
    fsyncSync(fd);
    closeSync(fd);
    renameSync(temporary, this.file(name));
  }

  /** Gives the folder back; to be called last. */
  close(): void {
    rmSync(this.#lockFile, { force: true });
  }

  /** The number in a small file, 0 when there is none. */
  #number(name: string): number {
    const value = Number(this.read(name) ?? 0);
    if (Number.isSafeInteger(value) && value >= 0) return value;
    throw new Error(`${this.file(name)} does not hold a number. Put one into it that was never used.`);
  }

  #lock(): void {
    const mine = `${process.pid} ${processStartedAt(process.pid) ?? ''}`;
    for (;;) {
      try {
        const fd = openSync(this.#lockFile, 'wx', 0o600);
        writeSync(fd, mine);
        closeSync(fd);
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
          throw new Error(
            `The data folder ${this.path} cannot be written (${(error as Error).message}). ` +
              'Set DATA_DIR to a folder that this user may write.',
          );
        }
      }
      const [pid, ...startedAt] = readFileSync(this.#lockFile, 'utf8').trim().split(' ');
      const holder = Number(pid);
      // A dead holder, or a pid that was given to another process since, holds nothing.
      if (holder > 1 && processStartedAt(holder) === startedAt.join(' ')) {
        throw new Error(
          `Another Millrace (pid ${holder}) runs on ${this.path}. Stop it, or set DATA_DIR to another folder.`,
        );
      }
      rmSync(this.#lockFile, { force: true });
    }
  }
}
