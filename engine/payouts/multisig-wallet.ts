// The watch-only wallet of a descriptor in the node: found, loaded or made, and checked to be the right one before it
// is asked to spend. Called by multisig-rail.ts.

import { type Descriptor, descriptorChecksum, isRanged } from './multisig-descriptor.js';
import type { MultisigNode } from './multisig-node.js';

/**
 * Makes the wallet ready: `since` is where the chain is searched for older coins when the descriptor is imported
 * (seconds since 1970, or `now`). Safe to repeat, also after a crash between its steps. Throws Error when the wallet
 * holds private keys or another descriptor.
 */
export async function openMultisigWallet(
  node: MultisigNode,
  descriptor: Descriptor,
  since: number | 'now',
): Promise<void> {
  const name = node.walletName;
  const wanted = await Promise.all([
    node.descriptorWithChecksum(descriptor.texts.receive),
    node.descriptorWithChecksum(descriptor.texts.change),
  ]);
  if (!(await node.loadedWallets()).includes(name)) {
    if ((await node.walletsOnDisk()).includes(name)) await node.loadWallet();
    else await node.createWatchOnlyWallet();
  }
  if (await node.holdsPrivateKeys()) {
    throw new Error(
      `The wallet ${name} of the node can hold private keys: name another for the multisig to watch`,
    );
  }
  const known = (await node.listDescriptors()).map((entry) => ({
    ...entry,
    name: comparable(entry.descriptor),
  }));
  const missing = wanted.filter((text) => !known.some((entry) => entry.name === comparable(text)));
  const foreign = known.find(
    (entry) => entry.isActive && !wanted.some((text) => entry.name === comparable(text)),
  );
  if (foreign !== undefined) {
    throw new Error(
      `The wallet ${name} of the node spends by another descriptor (${foreign.descriptor.slice(0, 60)}...): ` +
        'name another wallet, or correct the descriptor',
    );
  }
  await node.importDescriptors(
    [...new Set(missing)].map((text) => ({
      descriptor: text,
      isChange: isRanged(descriptor) && text === wanted[1],
      isRanged: isRanged(descriptor),
      since,
    })),
  );
}

/** One form of the two ways to write hardened steps; each has a checksum of its own. */
function comparable(text: string): string {
  const body = (text.split('#')[0] ?? '').replaceAll("'", 'h');
  return `${body}#${descriptorChecksum(body)}`;
}
