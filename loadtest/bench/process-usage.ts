// What the kernel says of a process: CPU time, memory, limits. Read from /proc, so Linux only.
import { readdirSync, readFileSync } from 'node:fs';

/** One tick of the CPU times in /proc/PID/stat: USER_HZ, 100 on every Linux that Node runs on. */
const TICK_MS = 10;
/** Of /proc/PID/statm: a page is 4 KiB on x86-64 and on the usual arm64 kernels. */
const PAGE_BYTES = 4096;

/** @throws Error with cause and cure where there is no /proc. */
export function requireProcFiles(): void {
  if (process.platform === 'linux') return;
  throw new Error(
    `CPU time of other processes is read from /proc, which ${process.platform} lacks: use Linux`,
  );
}

/**
 * CPU milliseconds (user and system) of a process with all its threads, in steps of 10 ms.
 * @param withChildren its living descendants too
 * @throws Error when there is no such process
 */
export function processCpuMs(pid: number, withChildren: boolean): number {
  const own = statCpuMs(`/proc/${pid}/stat`);
  if (!withChildren) return own;
  return descendants(pid).reduce((sum, child) => sum + statCpuMs(`/proc/${child}/stat`), own);
}

/** CPU milliseconds (user and system) of one thread, in steps of 10 ms. */
export function taskCpuMs(pid: number, tid: number): number {
  return statCpuMs(`/proc/${pid}/task/${tid}/stat`);
}

/** Ids of the threads of a process, ascending. */
export function taskIds(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`)
    .map(Number)
    .sort((a, b) => a - b);
}

/** Resident memory of a process, and of its living descendants when asked for, in bytes. */
export function residentBytes(pid: number, withChildren: boolean): number {
  const pids = withChildren ? [pid, ...descendants(pid)] : [pid];
  return pids.reduce((sum, each) => {
    const [, resident] = readFileSync(`/proc/${each}/statm`, 'latin1').split(' ');
    return sum + Number(resident) * PAGE_BYTES;
  }, 0);
}

/** Files that a Node process started here may have open: Node raises its soft limit to the hard one. */
export function openFilesMax(): number {
  const [, hard] = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
  return hard === undefined || hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard);
}

/** Ports that connections from one address to one host and port can have. */
export function localPorts(): number {
  const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'latin1').trim().split(/\s+/);
  return Number(range[1]) - Number(range[0]) + 1;
}

function statCpuMs(path: string): number {
  const [utime, stime] = statFields(path).slice(11, 13);
  return (Number(utime) + Number(stime)) * TICK_MS;
}

/** Fields of a stat file from the third on: before it stands the name, which may hold anything. */
function statFields(path: string): string[] {
  const stat = readFileSync(path, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function descendants(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      parents.set(Number(name), Number(statFields(`/proc/${name}/stat`)[1]));
    } catch {
      // It ended meanwhile.
    }
  }
  const found = [pid];
  for (const parent of found) {
    for (const [child, of] of parents) if (of === parent) found.push(child);
  }
  return found.slice(1);
}
