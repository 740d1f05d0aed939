// What stands around the embedded bitcoind: children and their orphans, and where apt's mirror is read from.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { startBitcoind } from '../../storage/embedded/bitcoind.js';
import {
  parseDeb822Sources,
  parseListSources,
  pickDebianSource,
} from '../../storage/embedded/bitcoind-package.js';
import { stopOrphan, superviseChild } from '../../storage/embedded/child-process.js';
import { projectRoot } from '../../storage/project-root.js';
import { until } from './node-scripted-rpc.js';

const folder = mkdtempSync(join(tmpdir(), 'millrace-child-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let number = 0;
const newPidFile = () => join(folder, `${++number}.pid`);
const bash = (script: string, pidFile: string) =>
  superviseChild({
    ...{ name: 'child', command: 'bash', args: ['-c', script, `tag=${pidFile}`], pidFile },
    dieWithParent: 'SIGTERM',
  });

/** Starts the child in a process of its own, and kills that one without warning. */
async function orphanOf(script: string, pidFile: string): Promise<number> {
  const module = pathToFileURL(join(projectRoot(), 'dist/storage/embedded/child-process.js')).href;
  const parent = spawn(
    process.execPath,
    [
      ...['--input-type=module', '-e'],
      `const { superviseChild } = await import(${JSON.stringify(module)});
      const child = await superviseChild({ name: 'child', command: 'bash',
        args: ['-c', ${JSON.stringify(script)}, ${JSON.stringify(`tag=${pidFile}`)}],
        pidFile: ${JSON.stringify(pidFile)}, dieWithParent: 'SIGTERM' });
      console.log(child.pid);
      setInterval(() => {}, 1000);`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const pid = await new Promise<number>((resolve) =>
    parent.stdout.once('data', (text) => resolve(Number(text))),
  );
  await until(() => existsSync(`${pidFile}.log`) && readFileSync(`${pidFile}.log`, 'utf8') !== '');
  parent.kill('SIGKILL');
  return pid;
}

const isAlive = (pid: number) => {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ');
  } catch {
    return false;
  }
};
const STUBBORN = 'trap "" TERM; echo up; while :; do sleep 0.05; done';

describe('a child process', () => {
  it('that ends by itself tells its code and its last words', async () => {
    const pidFile = newPidFile();
    const child = await bash('echo one; echo two >&2; exit 3', pidFile);
    expect(await child.exited).toEqual({
      code: 3,
      signal: null,
      expected: false,
      lastLines: ['one', 'two'],
    });
    expect(existsSync(pidFile)).toBe(false);
  });

  it('is stopped politely, and killed when it does not listen', async () => {
    const polite = await bash(
      'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.05; done',
      newPidFile(),
    );
    await until(() => polite.lastLines().length > 0);
    expect(await polite.stop(5000)).toMatchObject({ code: 0, expected: true, lastLines: ['up', 'bye'] });
    const stubborn = await bash(STUBBORN, newPidFile());
    await until(() => stubborn.lastLines().length > 0);
    expect(await stubborn.stop(100)).toMatchObject({ code: null, signal: 'SIGKILL', expected: true });
    expect(await stubborn.stop(100)).toMatchObject({ signal: 'SIGKILL' });
  });

  it('that is missing is named', async () => {
    const start = superviseChild({
      ...{ name: 'bitcoind', command: '/nowhere/bitcoind', args: [], pidFile: newPidFile() },
      dieWithParent: 'SIGTERM',
    });
    await expect(start).rejects.toThrow('/nowhere/bitcoind is missing or not executable');
  });

  it.runIf(process.platform === 'linux')('dies with a pool that is killed', async () => {
    const pid = await orphanOf('echo up; exec sleep 600', newPidFile());
    await until(() => !isAlive(pid));
  });

  it('that survived its pool is found by the next one and ended', async () => {
    const pidFile = newPidFile();
    const pid = await orphanOf(STUBBORN, pidFile);
    expect(await stopOrphan(pidFile, 'another folder', 100)).toBe('none');
    expect(isAlive(pid)).toBe(true);

    const again = newPidFile();
    const second = await orphanOf(STUBBORN, again);
    expect(await stopOrphan(again, `tag=${again}`, 100)).toBe('killed');
    expect(isAlive(second)).toBe(false);
    expect(await stopOrphan(again, `tag=${again}`)).toBe('none');
    process.kill(pid, 'SIGKILL');
  });

  it('of a pool that lives is left alone', async () => {
    const pidFile = newPidFile();
    const child = await bash(STUBBORN, pidFile);
    expect(await stopOrphan(pidFile, `tag=${pidFile}`)).toBe('in_use');
    await child.stop(0);
  });

  it('is not mistaken for a process that was given its number later', async () => {
    const pidFile = newPidFile();
    const child = await bash(STUBBORN, pidFile);
    const record = JSON.parse(readFileSync(pidFile, 'utf8')) as Record<string, unknown>;
    writeFileSync(pidFile, JSON.stringify({ ...record, startedAt: '1', supervisorStartedAt: '1' }));
    expect(await stopOrphan(pidFile, `tag=${pidFile}`, 100)).toBe('none');
    expect(isAlive(child.pid)).toBe(true);
    await child.stop(0);
    writeFileSync(pidFile, 'torn {');
    expect(await stopOrphan(pidFile, 'x')).toBe('none');
  });
});

describe('the Debian mirror', () => {
  it('is read from one-line sources, with its keyring', () => {
    const sources = parseListSources(
      [
        '# deb http://old.example/debian bullseye main',
        'deb-src http://mirror.example/debian bookworm main',
        'deb http://mirror.example/debian-security bookworm-security main # comment',
        'deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://mirror.example/debian bookworm main contrib',
      ].join('\n'),
    );
    expect(pickDebianSource(sources)).toEqual({
      uri: 'http://mirror.example/debian',
      suite: 'bookworm',
      signedBy: '/usr/share/keyrings/k.gpg',
    });
  });

  it('is read from deb822 sources', () => {
    const text = `# comment
Types: deb
URIs: https://vendor.example/apt
Suites: nodistro

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: trixie

Types: deb deb-src
# a comment inside
URIs: http://a.example/debian
 http://b.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----
`;
    const sources = parseDeb822Sources(text);
    expect(sources).toHaveLength(5);
    expect(pickDebianSource(sources)).toEqual({ uri: 'http://a.example/debian', suite: 'bookworm' });
  });

  it('is none on a system that is not Debian', () => {
    expect(
      pickDebianSource(parseListSources('deb http://archive.example/ubuntu noble main')),
    ).toBeUndefined();
  });
});

describe('BITCOIND', () => {
  it('that cannot be run is refused by name', async () => {
    const start = (path: string) =>
      startBitcoind({
        dataDir: folder,
        network: 'regtest',
        log: () => {},
        env: { PATH: '', BITCOIND: path },
      });
    await expect(start('/nowhere/bitcoind')).rejects.toThrow(
      /BITCOIND names \/nowhere\/bitcoind, which is missing/,
    );
    await expect(start('/bin/false')).rejects.toThrow(/\(BITCOIND, \/bin\/false\) cannot run here/);
  });
});
