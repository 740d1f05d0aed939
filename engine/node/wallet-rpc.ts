// The calls of one wallet of a Bitcoin node: addresses, balances, and the building and signing of payments
// as PSBT (BIP174). Amounts are satoshis on our side. Obtained from NodeRpc (`wallet`, `openWallet`).
import { AnswerFields, btcFromSatoshis, listOf, textOf } from './rpc-answer.js';
import type { CallOptions, RpcConnection } from './rpc-connection.js';

export interface WalletBalances {
  /** Spendable now. */
  trustedSats: bigint;
  untrustedPendingSats: bigint;
  /** Coinbase outputs that have not matured. */
  immatureSats: bigint;
}

export interface WalletTransaction {
  txid: string;
  /** 0: in the mempool or nowhere. Negative: a conflicting transaction has that many. */
  confirmations: number;
  /** Undefined for a transaction that the wallet did not send. */
  feeSats: bigint | undefined;
  blockHash: string | undefined;
  blockHeight: number | undefined;
  transactionHex: string;
}

export interface AddressInfo {
  address: string;
  scriptHex: string;
  isMine: boolean;
  isSolvable: boolean;
}

export interface FundedPsbt {
  psbt: string;
  feeSats: bigint;
  /** Index of the change output; -1 when there is none. */
  changePosition: number;
}

export interface FundingOptions {
  /** Satoshis a virtual byte, as the node takes it: at most three decimals. */
  feeRateSatPerVb: string | undefined;
  /** Keep the chosen coins from being chosen again until unlocked or the node restarts. */
  lockUnspents: boolean;
  /** Spend only coins with this many confirmations; needs Bitcoin Core 26. Undefined: the node's own rule. */
  minConfirmations?: number;
}

/** One output of a transaction, as something to spend. */
export interface Outpoint {
  /** Display order hex. */
  txid: string;
  outputIndex: number;
}

export type AddressType = 'bech32' | 'bech32m';

/** Calls of one loaded wallet. Errors are NodeRpcError: -6 no funds, -13 locked, -18 not loaded. */
export class WalletRpc {
  readonly name: string;
  readonly #connection: RpcConnection;

  constructor(connection: RpcConnection, name: string) {
    this.#connection = connection;
    this.name = name;
  }

  /** An address that was never given out before. */
  getNewAddress(type: AddressType, label = ''): Promise<string> {
    return this.#call('getnewaddress', [label, type], (result) => textOf(result, 'address'), {
      repeatable: false,
    });
  }

  getAddressInfo(address: string): Promise<AddressInfo> {
    return this.#call('getaddressinfo', [address], (result) => {
      const fields = new AnswerFields(result);
      return {
        address: fields.text('address'),
        scriptHex: fields.text('scriptPubKey'),
        isMine: fields.flag('ismine'),
        isSolvable: fields.flag('solvable'),
      };
    });
  }

  getBalances(): Promise<WalletBalances> {
    return this.#call('getbalances', [], (result) => {
      const mine = new AnswerFields(result).object('mine');
      return {
        trustedSats: mine.sats('trusted'),
        untrustedPendingSats: mine.sats('untrusted_pending'),
        immatureSats: mine.sats('immature'),
      };
    });
  }

  /** A payment to each of the outputs, with coins, fee and change chosen by the wallet; not signed. */
  walletCreateFundedPsbt(
    outputs: readonly { address: string; sats: bigint }[],
    { feeRateSatPerVb, lockUnspents, minConfirmations }: FundingOptions,
  ): Promise<FundedPsbt> {
    const amounts = outputs.map(({ address, sats }) => ({ [address]: btcFromSatoshis(sats) }));
    const funding = {
      lockUnspents,
      ...(feeRateSatPerVb === undefined ? {} : { fee_rate: feeRateSatPerVb }),
      ...(minConfirmations === undefined ? {} : { minconf: minConfirmations }),
    };
    return this.#call(
      'walletcreatefundedpsbt',
      [[], amounts, 0, funding],
      (result) => {
        const fields = new AnswerFields(result);
        return {
          psbt: fields.text('psbt'),
          feeSats: fields.sats('fee'),
          changePosition: fields.integer('changepos'),
        };
      },
      { repeatable: !lockUnspents },
    );
  }

  /** Signs what the wallet has keys for. */
  walletProcessPsbt(psbt: string): Promise<{ psbt: string; complete: boolean }> {
    return this.#call('walletprocesspsbt', [psbt], (result) => {
      const fields = new AnswerFields(result);
      return { psbt: fields.text('psbt'), complete: fields.flag('complete') };
    });
  }

  /**
   * A replacement (BIP125) of an unconfirmed transaction of ours, not signed: every input kept, the same payees,
   * less change and perhaps more inputs. Throws code -8 when the fee rate is too low to replace it or the
   * transaction has descendants in the wallet.
   */
  psbtBumpFee(txid: string, feeRateSatPerVb: string): Promise<{ psbt: string; feeSats: bigint }> {
    return this.#call('psbtbumpfee', [txid, { fee_rate: feeRateSatPerVb }], (result) => {
      const fields = new AnswerFields(result);
      return { psbt: fields.text('psbt'), feeSats: fields.sats('fee') };
    });
  }

  /** Coins that are kept from being chosen. */
  listLockUnspent(): Promise<Outpoint[]> {
    return this.#call('listlockunspent', [], (result) =>
      listOf(result, 'locked coins').map((entry) => {
        const fields = new AnswerFields(entry);
        return { txid: fields.hash('txid'), outputIndex: fields.integer('vout') };
      }),
    );
  }

  /** Locks coins, or unlocks them. Throws code -8, and changes nothing, when one is spent or already so. */
  async lockUnspent(action: 'lock' | 'unlock', coins: readonly Outpoint[]): Promise<void> {
    const outputs = coins.map(({ txid, outputIndex }) => ({ txid, vout: outputIndex }));
    await this.#call('lockunspent', [action === 'unlock', outputs], () => undefined, { repeatable: false });
  }

  /** Throws code -5 for a transaction that is not the wallet's. */
  getTransaction(txid: string): Promise<WalletTransaction> {
    return this.#call('gettransaction', [txid], (result) => {
      const fields = new AnswerFields(result);
      return {
        txid: fields.hash('txid'),
        confirmations: fields.integer('confirmations'),
        // The node shows what we paid as a negative number.
        feeSats: fields.has('fee') ? -fields.sats('fee') : undefined,
        blockHash: fields.has('blockhash') ? fields.hash('blockhash') : undefined,
        blockHeight: fields.has('blockheight') ? fields.integer('blockheight') : undefined,
        transactionHex: fields.text('hex'),
      };
    });
  }

  #call<T>(
    method: string,
    params: readonly unknown[],
    read: (result: unknown) => T,
    options: CallOptions = {},
  ): Promise<T> {
    return this.#connection.call(method, params, read, { ...options, wallet: this.name });
  }
}
