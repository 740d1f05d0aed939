// Fetches a real bitcoind for the default set-up: Debian's `bitcoin-knots` and the libraries it needs are
// downloaded by the machine's own apt (its mirror, proxy and keys), verified by it, and unpacked into a
// private folder. Nothing is installed and no package script ever runs. Used by bitcoind.ts when neither
// BITCOIND nor a bitcoind on PATH exists.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface AptSource {
  /** As apt writes it: http, https, file, mirror+file ... */
  uri: string;
  suite: string;
  /** Path of the keyring that the machine trusts for this source. */
  signedBy?: string;
}

/** Where the unpacked programs lie. */
export interface UnpackedBitcoind {
  bitcoind: string;
  /** Its own dynamic loader and library folder, for hosts whose C library is older. */
  loader: string;
  libraries: string;
}

// bitcoin-knots comes from backports; the rest is what its bitcoind links to on trixie.
const SUITES = ['trixie', 'trixie-backports'];
const PACKAGES = [
  'bitcoin-knots/trixie-backports',
  ...['libc6', 'libstdc++6', 'libgcc-s1', 'libzmq5', 'libsqlite3-0', 'libevent-core-2.1-7t64'],
  ...['libevent-extra-2.1-7t64', 'libevent-pthreads-2.1-7t64', 'libbsd0', 'libmd0', 'libgssapi-krb5-2'],
  ...['libkrb5-3', 'libk5crypto3', 'libkrb5support0', 'libcom-err2', 'libkeyutils1', 'libnorm1t64'],
  ...['libpgm-5.3-0t64', 'libsodium23'],
];
const DEBIAN_SUITE =
  /^(stable|testing|unstable|sid|oldstable|oldoldstable|bullseye|bookworm|trixie|forky|duke)$/;
const DEFAULT_KEYRINGS = [
  '/usr/share/keyrings/debian-archive-keyring.gpg',
  '/usr/share/keyrings/debian-archive-keyring.pgp',
];
const ARCHITECTURES: Readonly<Record<string, { triplet: string; loader: string }>> = {
  amd64: { triplet: 'x86_64-linux-gnu', loader: 'ld-linux-x86-64.so.2' },
  arm64: { triplet: 'aarch64-linux-gnu', loader: 'ld-linux-aarch64.so.1' },
};
const APT_TIMEOUT_MS = 300_000;
const ABANDONED_AFTER_MS = 3_600_000;
const CURE = 'Set BITCOIND to the path of a bitcoind, or BITCOIN_RPC_URL to a node that already runs.';

/**
 * The unpacked bitcoind of `cacheDir`; fetched (about 15 MB, some seconds) when the folder has none. Needs
 * apt and dpkg but no rights beyond writing to `cacheDir`. Several processes may call it at once: each
 * builds in a folder of its own and the first to finish is kept. Throws with the operator's cure.
 */
export async function debianBitcoind(
  cacheDir: string,
  log: (line: string) => void,
): Promise<UnpackedBitcoind> {
  const root = join(cacheDir, 'root');
  if (!existsSync(join(root, 'usr/bin/bitcoind'))) {
    try {
      mkdirSync(cacheDir, { recursive: true });
      removeAbandoned(cacheDir);
      const work = join(cacheDir, `fetch-${process.pid}-${randomBytes(4).toString('hex')}`);
      try {
        await fetchInto(work, log);
        keepFirst(join(work, 'root'), root);
      } finally {
        rmSync(work, { recursive: true, force: true });
      }
    } catch (error) {
      throw new Error(`No bitcoind could be fetched: ${explainFetch(error)} ${CURE}`);
    }
  }
  for (const { triplet, loader } of Object.values(ARCHITECTURES)) {
    const libraries = join(root, 'usr/lib', triplet);
    if (existsSync(join(libraries, loader))) {
      return { bitcoind: join(root, 'usr/bin/bitcoind'), loader: join(libraries, loader), libraries };
    }
  }
  throw new Error(`The unpacked bitcoind in ${root} is incomplete. Delete that folder and start again.`);
}

async function fetchInto(work: string, log: (line: string) => void): Promise<void> {
  const apt = resolveTools();
  const { stdout } = await run('dpkg', ['--print-architecture']);
  const architecture = stdout.trim();
  if (ARCHITECTURES[architecture] === undefined) {
    throw new Error(`Debian has no bitcoind for this architecture (${architecture}).`);
  }
  const source = pickDebianSource(readAptSources());
  if (source === undefined) throw new Error("this machine's apt sources name no Debian mirror.");
  const keyring = source.signedBy ?? DEFAULT_KEYRINGS.find((path) => existsSync(path));
  for (const folder of ['lists/partial', 'cache/archives/partial', 'deb', 'root', 'none']) {
    mkdirSync(join(work, folder), { recursive: true });
  }
  const option = keyring === undefined ? '' : `[signed-by=${keyring}] `;
  const lines = SUITES.map((suite) => `deb ${option}${source.uri} ${suite} main\n`);
  writeFileSync(join(work, 'sources.list'), lines.join(''));
  writeFileSync(join(work, 'status'), '');
  writeFileSync(join(work, 'apt.conf'), aptConfiguration(work));
  const call = (args: string[], cwd: string) =>
    run(apt, ['-q', '-y', '-c', join(work, 'apt.conf'), ...args], {
      cwd,
      timeout: APT_TIMEOUT_MS,
      maxBuffer: 16 * 1024 * 1024,
      env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
    });

  log(`Fetching a Bitcoin node from Debian (${SUITES.join(', ')}; about 15 MB, once)`);
  await call(['update'], work);
  const deb = join(work, 'deb');
  await call(['download', ...PACKAGES], deb);
  const files = readdirSync(deb).filter((file) => file.endsWith('.deb'));
  log(`Unpacking ${files.length} packages (nothing is installed)`);
  for (const file of files) await run('dpkg-deb', ['-x', join(deb, file), join(work, 'root')]);
  const knots = files.find((file) => file.startsWith('bitcoin-knots_'));
  log(`Bitcoin node ready: ${decodeURIComponent(knots ?? 'bitcoin-knots')}`);
}

// A file given by -c is read after the machine's own configuration: proxies and credentials stay in
// force, only paths are ours and hooks that other packages hang on `update` are dropped.
function aptConfiguration(work: string): string {
  const settings: Record<string, string> = {
    'Dir::Etc::sourcelist': join(work, 'sources.list'),
    'Dir::Etc::sourceparts': join(work, 'none'),
    'Dir::Etc::preferences': join(work, 'status'),
    'Dir::Etc::preferencesparts': join(work, 'none'),
    'Dir::State::Lists': join(work, 'lists'),
    'Dir::State::status': join(work, 'status'),
    'Dir::Cache': join(work, 'cache'),
    'Acquire::Languages': 'none',
    'Acquire::Retries': '2',
    // Else an unreachable mirror is a mere warning, and the download then blames the packages.
    'APT::Update::Error-Mode': 'any',
    'APT::Sandbox::User': '',
    'APT::Default-Release': '',
  };
  return [
    ...['Pre-Invoke', 'Post-Invoke', 'Post-Invoke-Success'].map((hook) => `#clear APT::Update::${hook};`),
    ...Object.entries(settings).map(([key, value]) => `${key} "${value}";`),
    '',
  ].join('\n');
}

/** Every binary source of the machine's apt configuration, in its own order. */
export function readAptSources(etcApt = '/etc/apt'): AptSource[] {
  const files = [join(etcApt, 'sources.list')];
  const parts = join(etcApt, 'sources.list.d');
  if (existsSync(parts)) {
    for (const file of readdirSync(parts).sort()) files.push(join(parts, file));
  }
  return files.flatMap((file) => {
    try {
      const text = readFileSync(file, 'utf8');
      if (file.endsWith('.sources')) return parseDeb822Sources(text);
      return file.endsWith('.list') ? parseListSources(text) : [];
    } catch {
      // A source that we may not read (it can hold credentials) is not ours to use.
      return [];
    }
  });
}

/** The one-line format of sources.list(5): `deb [option=value ...] uri suite component...`. */
export function parseListSources(text: string): AptSource[] {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)/.exec(line.replace(/#.*/, ''));
    if (match === null) return [];
    const signedBy = /(?:^|\s)signed-by=(\/\S+)/i.exec(match[1] ?? '')?.[1];
    return [sourceOf(match[2] ?? '', match[3] ?? '', signedBy)];
  });
}

/** The paragraph format of sources.list(5), `.sources` files; every URI times every suite. */
export function parseDeb822Sources(text: string): AptSource[] {
  return text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .split(/\n\s*\n/)
    .flatMap((paragraph) => {
      const fields = new Map<string, string>();
      for (const [, key, value] of paragraph.matchAll(/^([A-Za-z-]+):((?:.*)(?:\n[ \t].*)*)/gm)) {
        fields.set((key ?? '').toLowerCase(), (value ?? '').trim());
      }
      const words = (key: string) => (fields.get(key) ?? '').split(/\s+/).filter((word) => word !== '');
      if (!words('types').includes('deb') || /^(no|false|0|off)$/i.test(fields.get('enabled') ?? 'yes')) {
        return [];
      }
      // A key block may stand here instead of a path; then the distribution's keyring is tried.
      const signedBy = words('signed-by').find((word) => word.startsWith('/'));
      return words('uris').flatMap((uri) => words('suites').map((suite) => sourceOf(uri, suite, signedBy)));
    });
}

/** The first source that is a main Debian mirror: of a Debian release, not its security suite. */
export function pickDebianSource(sources: readonly AptSource[]): AptSource | undefined {
  return sources.find(
    ({ uri, suite }) =>
      DEBIAN_SUITE.test(suite.replace(/-(updates|backports)$/, '')) && !/-security|^cdrom:/.test(uri),
  );
}

function sourceOf(uri: string, suite: string, signedBy: string | undefined): AptSource {
  return signedBy === undefined ? { uri, suite } : { uri, suite, signedBy };
}

function resolveTools(): string {
  for (const tool of ['apt-get', 'dpkg', 'dpkg-deb']) {
    if (![`/usr/bin/${tool}`, `/bin/${tool}`].some((path) => existsSync(path))) {
      throw new Error(`${tool} is missing: this is not a Debian-like system.`);
    }
  }
  return 'apt-get';
}

/** A rename is atomic, and fails on a folder that another process has put there meanwhile: then that one stays. */
function keepFirst(built: string, root: string): void {
  try {
    renameSync(built, root);
  } catch (error) {
    if (!existsSync(join(root, 'usr/bin/bitcoind'))) throw error;
  }
}

function removeAbandoned(cacheDir: string): void {
  for (const entry of readdirSync(cacheDir)) {
    const path = join(cacheDir, entry);
    if (entry.startsWith('fetch-') && Date.now() - statSync(path).mtimeMs > ABANDONED_AFTER_MS) {
      rmSync(path, { recursive: true, force: true });
    }
  }
}

/** apt's own words (its `E:` lines) where it has any; credentials that a mirror address may hold are cut. */
function explainFetch(error: unknown): string {
  const { message, stderr } = error as { message?: string; stderr?: string };
  const lines = (stderr ?? '').split('\n').filter((line) => /^(E:|Err)/.test(line));
  const text = lines.length > 0 ? `apt says: ${lines.slice(0, 3).join(' ')}` : String(message ?? error);
  return text.replace(/\/\/[^/\s@]*@/g, '//***@');
}
