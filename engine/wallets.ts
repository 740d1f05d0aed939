// The wallets of the node that the pool uses: its own, which coinbases pay and payouts spend, and one for the simulated
// miners, so that payouts can be seen arriving. Created only on chains of our own.
import type { DataFolder } from '../storage/data-folder.js';
import type { NetworkName } from './bitcoin/networks.js';
import type { NodeRpc } from './node/rpc.js';
import type { WalletRpc } from './node/wallet-rpc.js';

export const POOL_WALLET = 'millrace';
const MINERS_WALLET = 'millrace-sim-miners';

export class Wallets {
  readonly #rpc: NodeRpc;
  readonly #folder: DataFolder;
  readonly #network: NetworkName;

  constructor(rpc: NodeRpc, folder: DataFolder, network: NetworkName) {
    this.#rpc = rpc;
    this.#folder = folder;
    this.#network = network;
  }

  /** True where blocks cost nothing and nobody else mines. */
  get ownChain(): boolean {
    return this.#network === 'private' || this.#network === 'regtest';
  }

  /** The pool's wallet; null on another's node that has none of that name. */
  async ofPool(): Promise<WalletRpc | null> {
    return this.#open(POOL_WALLET);
  }

  /** The address that coinbases pay when none is configured; the same after a restart. */
  async poolAddress(): Promise<string> {
    const wallet = await this.ofPool();
    if (wallet === null) throw new Error('The node has no wallet to pay blocks to. Set POOL_ADDRESS');
    return this.#keptAddress(wallet, `pool-address.${this.#network}`, 'coinbase');
  }

  /** Addresses of simulated miners; empty where there is no wallet for them. */
  async minerAddresses(count: number): Promise<string[]> {
    const wallet = await this.#open(MINERS_WALLET);
    if (wallet === null) return [];
    const addresses: string[] = [];
    for (let i = 1; i <= count; i++) {
      const file = `sim-miner-${i}-address.${this.#network}`;
      addresses.push(await this.#keptAddress(wallet, file, `simulated miner ${i}`));
    }
    return addresses;
  }

  async #open(name: string): Promise<WalletRpc | null> {
    if (this.ownChain) return this.#rpc.openWallet(name);
    try {
      return (await this.#rpc.listWallets()).includes(name) ? this.#rpc.wallet(name) : null;
    } catch {
      // A node without wallets says so by an error.
      return null;
    }
  }

  async #keptAddress(wallet: WalletRpc, file: string, label: string): Promise<string> {
    const known = this.#folder.read(file);
    if (known !== null && (await wallet.getAddressInfo(known)).isMine) return known;
    const address = await wallet.getNewAddress('bech32', label);
    this.#folder.write(file, address);
    return address;
  }
}
