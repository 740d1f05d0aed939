// The calls of a watch-only wallet that the other rails do not need: import of descriptors, funding with chosen inputs,
// locks, combining. Used by multisig-wallet.ts and multisig-rail.ts. Amounts are satoshis on our side.

import { AnswerFields, btcFromSatoshis, hashOf, listOf, textOf } from '../node/rpc-answer.js';
import type { CallOptions, RpcConnection } from '../node/rpc-connection.js';
import { NodeRpcError } from '../node/rpc-error.js';
import type { RailOutput } from './rail.js';

/** Bitcoin Core RPC_INVALID_PARAMETER: here, a coin that is spent, unknown, or not in the state that was expected. */
const INVALID_PARAMETER = -8;

export interface ImportRequest {
  /** With checksum. */
  descriptor: string;
  isChange: boolean;
  isRanged: boolean;
  /** Seconds since 1970 from which the chain is searched for coins; `now`: a wallet without a past. */
  since: number | 'now';
}

export interface ActiveDescriptor {
  /** With checksum. */
  descriptor: string;
  isActive: boolean;
}

export interface FundingRequest {
  outputs: readonly RailOutput[];
  /** Coins that must be in, `txid:index`. */
  inputs: readonly string[];
  feeRateSatPerVb: number | null;
  /** Null: an address of the wallet's change branch that was not used before. */
  changeAddress: string | null;
}

export class MultisigNode {
  readonly walletName: string;
  readonly #connection: RpcConnection;

  constructor(connection: RpcConnection, walletName: string) {
    this.#connection = connection;
    this.walletName = walletName;
  }

  /** Adds the checksum. Throws code -5 for a descriptor that the node does not take. */
  descriptorWithChecksum(text: string): Promise<string> {
    return this.#node('getdescriptorinfo', [text], (result) => {
      const fields = new AnswerFields(result);
      if (fields.flag('hasprivatekeys')) throw new Error('the descriptor holds a private key');
      return `${text}#${fields.text('checksum')}`;
    });
  }

  loadedWallets(): Promise<string[]> {
    return this.#node('listwallets', [], (result) =>
      listOf(result, 'wallets').map((name) => textOf(name, 'name')),
    );
  }

  walletsOnDisk(): Promise<string[]> {
    return this.#node('listwalletdir', [], (result) =>
      new AnswerFields(result).list('wallets').map((entry) => new AnswerFields(entry).text('name')),
    );
  }

  async loadWallet(): Promise<void> {
    await this.#node('loadwallet', [this.walletName, true], () => undefined);
  }

  /** Without keys, without descriptors; loaded again at each start of the node. */
  async createWatchOnlyWallet(): Promise<void> {
    const [noPrivateKeys, isBlank, isDescriptors, loadOnStartup] = [true, true, true, true];
    await this.#node(
      'createwallet',
      [this.walletName, noPrivateKeys, isBlank, '', false, isDescriptors, loadOnStartup],
      () => undefined,
      { repeatable: false },
    );
  }

  holdsPrivateKeys(): Promise<boolean> {
    return this.#wallet('getwalletinfo', [], (result) =>
      new AnswerFields(result).flag('private_keys_enabled'),
    );
  }

  listDescriptors(): Promise<ActiveDescriptor[]> {
    return this.#wallet('listdescriptors', [], (result) =>
      new AnswerFields(result).list('descriptors').map((entry) => {
        const fields = new AnswerFields(entry);
        return { descriptor: fields.text('desc'), isActive: fields.flag('active') };
      }),
    );
  }

  /** Throws Error with the node's reason. Searches the chain, which can take long. */
  async importDescriptors(requests: readonly ImportRequest[]): Promise<void> {
    const asked = requests.map(({ descriptor, isChange, isRanged, since }) => ({
      desc: descriptor,
      timestamp: since,
      ...(isRanged ? { active: true, internal: isChange, range: [0, 999] } : {}),
    }));
    const failures = await this.#wallet('importdescriptors', [asked], (result) =>
      listOf(result, 'results')
        .map((entry) => new AnswerFields(entry))
        .filter((entry) => !entry.flag('success'))
        .map((entry) => entry.object('error').text('message')),
    );
    if (failures.length > 0)
      throw new Error(`The node did not import the descriptor: ${failures.join('; ')}`);
  }

  /** Outputs in their order, change behind them; inputs locked. Base64. */
  fund({ outputs, inputs, feeRateSatPerVb, changeAddress }: FundingRequest): Promise<string> {
    const amounts = outputs.map(({ address, sats }) => ({ [address]: btcFromSatoshis(sats) }));
    const coins = inputs.map((coin) => ({ ...splitOutpoint(coin), sequence: 0xfffffffd }));
    const options = {
      lockUnspents: true,
      replaceable: true,
      changePosition: outputs.length,
      ...(feeRateSatPerVb === null ? {} : { fee_rate: feeRateSatPerVb.toFixed(3) }),
      // The change of a payment that may still be replaced can vanish, and all that spends it.
      minconf: 1,
      ...(inputs.length === 0 ? {} : { add_inputs: true }),
      ...(changeAddress === null ? {} : { changeAddress }),
    };
    const withKeyPaths = true;
    return this.#wallet(
      'walletcreatefundedpsbt',
      [coins, amounts, 0, options, withKeyPaths],
      (result) => new AnswerFields(result).text('psbt'),
      { repeatable: false },
    );
  }

  combine(psbts: readonly string[]): Promise<string> {
    return this.#node('combinepsbt', [psbts], (result) => textOf(result, 'psbt'));
  }

  /** The raw transaction, hex; null while signatures are missing. */
  finalize(psbt: string): Promise<string | null> {
    return this.#node('finalizepsbt', [psbt], (result) => {
      const fields = new AnswerFields(result);
      return fields.flag('complete') ? fields.text('hex') : null;
    });
  }

  async send(rawTransaction: string): Promise<void> {
    await this.#node('sendrawtransaction', [rawTransaction], (result) => hashOf(result, 'txid'));
  }

  /** Throws code -5 for a transaction that is not the wallet's. */
  confirmations(txid: string): Promise<number> {
    return this.#wallet('gettransaction', [txid], (result) =>
      new AnswerFields(result).integer('confirmations'),
    );
  }

  /** Locked coins, `txid:index`. */
  locked(): Promise<string[]> {
    return this.#wallet('listlockunspent', [], (result) =>
      listOf(result, 'locks').map((entry) => {
        const fields = new AnswerFields(entry);
        return `${fields.hash('txid')}:${fields.integer('vout')}`;
      }),
    );
  }

  /** Locks or unlocks coins; those that are spent, unknown or in that state already are passed over. */
  async setLocks(coins: readonly string[], isLocked: boolean): Promise<void> {
    if (coins.length === 0) return;
    try {
      await this.#setLocks(coins, isLocked);
    } catch (error) {
      if (!(error instanceof NodeRpcError) || error.code !== INVALID_PARAMETER) throw error;
      if (coins.length === 1) return;
      // All or nothing: one that cannot be set must not keep the others from it.
      for (const coin of coins) await this.setLocks([coin], isLocked);
    }
  }

  async #setLocks(coins: readonly string[], isLocked: boolean): Promise<void> {
    await this.#wallet('lockunspent', [!isLocked, coins.map(splitOutpoint)], () => undefined);
  }

  #node<T>(
    method: string,
    params: readonly unknown[],
    read: (result: unknown) => T,
    options: CallOptions = {},
  ): Promise<T> {
    return this.#connection.call(method, params, read, options);
  }

  #wallet<T>(
    method: string,
    params: readonly unknown[],
    read: (result: unknown) => T,
    options: CallOptions = {},
  ): Promise<T> {
    return this.#connection.call(method, params, read, { ...options, wallet: this.walletName });
  }
}

function splitOutpoint(coin: string): { txid: string; vout: number } {
  const [txid = '', vout = ''] = coin.split(':');
  return { txid, vout: Number(vout) };
}
