// A fault injector, loaded into every thread of a pool under test before its own code (`node --import`). It moves the
// wall clock as a person, NTP or a virtual machine does, and makes journal writes fail as a full disk does. What it
// does stands in a file (faults.ts) that every thread reads again and again. Monotonic clocks stay as they are.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { FAULTS_FILE_VARIABLE, type Faults, monotonicMs, NO_FAULTS, shownMs } from './faults.js';

const READ_EVERY_MS = 50;

const file = process.env[FAULTS_FILE_VARIABLE] ?? '';
const RealDate = Date;
let faults: Faults = NO_FAULTS;
let text = '';

function readFaults(): void {
  let now: string;
  try {
    now = fs.readFileSync(file, 'utf8');
  } catch {
    return;
  }
  if (now === text) return;
  text = now;
  faults = JSON.parse(now) as Faults;
}

const now = (): number => shownMs(faults.clock, RealDate.now(), monotonicMs());

globalThis.Date = new Proxy(RealDate, {
  get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  apply: () => new RealDate(now()).toString(),
});

const writeSync = fs.writeSync as (fd: number, ...rest: unknown[]) => number;

/** Only the writes of a journal segment: `journal` and `journal-N` hold nothing else that ends like this. */
function isSegment(fd: number): boolean {
  return fs.readlinkSync(`/proc/self/fd/${fd}`).endsWith('.journal');
}

fs.writeSync = ((fd: number, ...rest: unknown[]): number => {
  if (faults.journalFull && isSegment(fd)) {
    throw Object.assign(new Error('ENOSPC: no space left on device, write (injected fault)'), {
      ...{ code: 'ENOSPC', errno: -28, syscall: 'write' },
    });
  }
  return writeSync(fd, ...rest);
}) as typeof fs.writeSync;
syncBuiltinESMExports();

readFaults();
setInterval(readFaults, READ_EVERY_MS).unref();
