// `millrace signer`: the process that holds one key, signs what its policy allows and knows nothing else: no node, no
// database. See engine/signer. Called by main.ts.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { NETWORKS, type NetworkName } from '../bitcoin/networks.js';
import { parseDescriptor } from '../payouts/multisig-descriptor.js';
import { fingerprintText } from '../payouts/multisig-extended-key.js';
import { DecisionLog } from '../signer/decision-log.js';
import { partOf, readKeyFile } from '../signer/key-file.js';
import { PsbtSigner } from '../signer/psbt-signer.js';
import { type SignerDoor, serveSigner } from '../signer/signer-server.js';
import { SpendRecord } from '../signer/spend-record.js';

const EXIT_FAULT = 1;
/** sysexits.h EX_USAGE. */
const EXIT_USAGE = 64;
const FEE_PERCENT_DEFAULT = '5';
const SOCKET_DEFAULT = './millrace-signer.sock';

const HELP = [
  'millrace signer: signs payouts of a watched wallet, as a process of its own with one key.',
  '',
  'Takes a PSBT (BIP174) and gives it back signed, or refuses it. It derives by itself what is change, and refuses:',
  'another network, inputs that are not ours, amounts it cannot check, signature types other than ALL, wrong',
  'signatures of others, change that is not ours, a fee that is too high, more than the daily cap.',
  '',
  '  --key FILE          private key: WIF, or xprv/tprv of the master or the account; mode 0600',
  '  --descriptor TEXT   the wallet: wsh(sortedmulti(2,[f00dbabe/48h/1h/0h/2h]tpub.../<0;1>/*,...)), wpkh or tr',
  `  --network NAME      ${Object.keys(NETWORKS).join(', ')}`,
  '  --daily-cap SATS    most that leaves within 24 hours, fees included',
  `  --fee-max PERCENT   most that a fee may be of what is paid [${FEE_PERCENT_DEFAULT}]`,
  `  --socket PATH       Unix socket, open to its owner only [${SOCKET_DEFAULT}]`,
  '  --listen HOST:PORT  HTTP on 127.0.0.1 or [::1] instead; needs --token-file',
  '  --token-file FILE   bearer token, 32 characters or more',
  '  --state FILE        what was signed within 24 hours [KEY.state.json]',
  '  --log FILE          every decision, a JSON object a line [KEY.log]',
  '  --help              this text',
  '',
  'One request: POST /sign {"psbt": base64, "network": name}. Ends on SIGINT and SIGTERM. The state file is what makes',
  'the cap hold over a restart: one signer a state file, and never delete it within a day of a payout.',
];

interface Options {
  key: string;
  descriptor: string;
  network: NetworkName;
  dailyCapSats: bigint;
  feePpmMax: bigint;
  door: SignerDoor;
  state: string;
  log: string;
}

class UsageError extends Error {}

/** Runs until SIGINT or SIGTERM; resolves with the exit code. Never throws for what an operator can get wrong. */
export async function signer(argv: readonly string[]): Promise<number> {
  if (argv.includes('--help')) {
    process.stdout.write(`${HELP.join('\n')}\n`);
    return 0;
  }
  try {
    return await run(readOptions(argv));
  } catch (error) {
    const isUsage = error instanceof UsageError;
    process.stderr.write(
      `${(error as Error).message}\n${isUsage ? 'millrace signer --help tells more.\n' : ''}`,
    );
    return isUsage ? EXIT_USAGE : EXIT_FAULT;
  }
}

async function run(options: Options): Promise<number> {
  const { network } = options;
  const descriptor = parseDescriptor(options.descriptor, network);
  const part = partOf(readKeyFile(options.key, network), descriptor);
  const record = new SpendRecord(options.state);
  const spentSats = record.spentSats(Date.now());
  const log = new DecisionLog(options.log);
  const psbtSigner = new PsbtSigner({
    policy: { network, descriptor, feePpmMax: options.feePpmMax, dailyCapSats: options.dailyCapSats },
    part,
    record,
    log,
    nowMs: Date.now,
  });
  const stopped = stopSignal();
  try {
    const server = await serveSigner(options.door, (request) => psbtSigner.sign(request));
    process.stdout.write(
      `Signer for key ${fingerprintText(part.fingerprint)} on ${network} at ${server.at}; ` +
        `${spentSats} of ${options.dailyCapSats} sat signed within 24 hours\n`,
    );
    await stopped.received;
    await server.stop();
    return 0;
  } finally {
    stopped.forget();
    log.close();
  }
}

function readOptions(argv: readonly string[]): Options {
  const text = { type: 'string' } as const;
  let values: Partial<Record<string, string>>;
  try {
    values = parseArgs({
      args: [...argv],
      options: {
        ...{ key: text, descriptor: text, network: text, 'daily-cap': text, 'fee-max': text },
        ...{ socket: text, listen: text, 'token-file': text, state: text, log: text },
      },
    }).values as typeof values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const needed = (name: string) => {
    const value = values[name];
    if (value === undefined || value === '') throw new UsageError(`--${name} is missing`);
    return value;
  };
  const key = needed('key');
  const network = needed('network');
  if (!Object.hasOwn(NETWORKS, network)) {
    throw new UsageError(`--network ${network} is unknown: ${Object.keys(NETWORKS).join(', ')}`);
  }
  const cap = needed('daily-cap');
  if (!/^\d{1,16}$/.test(cap)) throw new UsageError(`--daily-cap ${cap} is not a number of satoshis`);
  return {
    key,
    descriptor: needed('descriptor'),
    network: network as NetworkName,
    dailyCapSats: BigInt(cap),
    feePpmMax: ppmOfPercent(values['fee-max'] ?? FEE_PERCENT_DEFAULT),
    door: readDoor(values),
    state: values.state ?? `${key}.state.json`,
    log: values.log ?? `${key}.log`,
  };
}

function readDoor({ socket, listen, 'token-file': tokenFile }: Partial<Record<string, string>>): SignerDoor {
  if (listen === undefined) {
    if (tokenFile !== undefined) throw new UsageError('--token-file goes with --listen; a socket needs none');
    return { socketPath: socket ?? SOCKET_DEFAULT };
  }
  if (socket !== undefined) throw new UsageError('--socket and --listen exclude each other');
  const form = /^(?:\[(.+)\]|([^:]+)):(\d{1,5})$/.exec(listen);
  const port = Number(form?.[3]);
  if (form === null || port > 65_535)
    throw new UsageError(`--listen ${listen} is not of the form 127.0.0.1:8400`);
  if (tokenFile === undefined) throw new UsageError('--listen needs --token-file');
  let token: string;
  try {
    token = readFileSync(tokenFile, 'utf8').trim();
  } catch (error) {
    throw new Error(`Token file ${tokenFile} cannot be read: ${(error as Error).message}`);
  }
  return { host: (form[1] ?? form[2]) as string, port, token };
}

/** At most four decimals, so that it is a whole number of ppm. */
function ppmOfPercent(text: string): bigint {
  const form = /^(\d{1,3})(?:\.(\d{1,4}))?$/.exec(text);
  const [, whole = '', decimals = ''] = form ?? [];
  const ppm = form === null ? -1n : BigInt(whole) * 10_000n + BigInt(decimals.padEnd(4, '0'));
  if (ppm < 0n || ppm > 1_000_000n)
    throw new UsageError(`--fee-max ${text} is not a percentage from 0 to 100`);
  return ppm;
}

function stopSignal(): { received: Promise<void>; forget: () => void } {
  let stop = () => {};
  const received = new Promise<void>((resolve) => {
    stop = resolve;
  });
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  return {
    received,
    forget: () => {
      process.off('SIGINT', stop);
      process.off('SIGTERM', stop);
    },
  };
}
