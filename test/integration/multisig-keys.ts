// A 2-of-3 on a regtest node for multisig.test.ts and signer.test.ts: two of Core's own wallets that sign, and the keys
// of a third that a signer of ours holds.
import type { RpcConnection } from '../../engine/node/rpc-connection.js';

export interface KeyHolder {
  wallet: string;
  fingerprint: string;
  /** `[fingerprint/84h/1h/0h]tpub...` */
  publicKey: string;
  /** Master private key. */
  masterKey: string;
}

/** One of Core's wallets with keys of its own. */
export async function makeKeyHolder(connection: RpcConnection, wallet: string): Promise<KeyHolder> {
  await call(connection, 'createwallet', [wallet]);
  const [open = '', secret = ''] = [
    await wpkhDescriptor(connection, wallet, false),
    await wpkhDescriptor(connection, wallet, true),
  ];
  const publicKey = /wpkh\((\[.*?\][^/]+)\//.exec(open)?.[1] ?? '';
  const fingerprint = publicKey.slice(1, 9);
  const masterKey = /wpkh\((tprv[^/]+)\//.exec(secret)?.[1] ?? '';
  return { wallet, fingerprint, publicKey: publicKey.replaceAll("'", 'h'), masterKey };
}

export function descriptorOf(holders: readonly KeyHolder[]): string {
  return `wsh(sortedmulti(2,${holders.map(({ publicKey }) => `${publicKey}/<0;1>/*`).join(',')}))`;
}

/** A wallet of Core that knows the multisig and can sign for one of its keys; returns its name. */
export async function makeCosigner(
  connection: RpcConnection,
  holder: KeyHolder,
  holders: readonly KeyHolder[],
): Promise<string> {
  const name = `${holder.wallet} signs`;
  await call(connection, 'createwallet', [name, false, true]);
  const requests = await Promise.all(
    [0, 1].map(async (branch) => {
      const keys = holders.map((other) =>
        other === holder ? `${holder.masterKey}/84h/1h/0h/${branch}/*` : `${other.publicKey}/${branch}/*`,
      );
      const text = `wsh(sortedmulti(2,${keys.join(',')}))`;
      const { checksum } = (await call(connection, 'getdescriptorinfo', [text])) as { checksum: string };
      return {
        desc: `${text}#${checksum}`,
        active: true,
        internal: branch === 1,
        timestamp: 'now',
        range: [0, 100],
      };
    }),
  );
  const results = (await call(connection, 'importdescriptors', [requests], name)) as { success: boolean }[];
  if (!results.every(({ success }) => success)) throw new Error(JSON.stringify(results));
  return name;
}

export async function coreSigns(connection: RpcConnection, wallet: string, psbt: string): Promise<string> {
  const answer = (await call(connection, 'walletprocesspsbt', [psbt], wallet)) as { psbt: string };
  return answer.psbt;
}

export async function call(
  connection: RpcConnection,
  method: string,
  params: readonly unknown[],
  wallet = '',
): Promise<unknown> {
  return await connection.call(method, params, (result) => result, wallet === '' ? {} : { wallet });
}

async function wpkhDescriptor(connection: RpcConnection, wallet: string, isSecret: boolean): Promise<string> {
  const { descriptors } = (await call(connection, 'listdescriptors', [isSecret], wallet)) as {
    descriptors: { desc: string; internal: boolean }[];
  };
  return descriptors.find(({ desc, internal }) => desc.startsWith('wpkh(') && !internal)?.desc ?? '';
}
