// Bitcoin Core's RPC as the pool needs it: one typed method for each call, positional arguments only, every
// answer checked. Works with Bitcoin Core 24 and newer and with Knots. The wallet's calls: wallet-rpc.ts.
import { hexToBytes } from '../bitcoin/hex.js';
import type { TransactionOutput } from '../bitcoin/transaction.js';
import type { TipHeader } from '../work/empty-template.js';
import { AnswerFields, AnswerShapeError, hashOf, listOf, numberOf, textOf } from './rpc-answer.js';
import { type CallOptions, RpcConnection, type RpcConnectionOptions } from './rpc-connection.js';
import { NodeRpcError, RPC_WALLET_ALREADY_LOADED } from './rpc-error.js';
import { WalletRpc } from './wallet-rpc.js';

export interface BlockchainInfo {
  /** main, testnet4, signet, regtest ... */
  chain: string;
  blocks: number;
  headers: number;
  bestBlockHash: string;
  difficulty: number;
  /** Seconds since 1970, median of the last eleven blocks. */
  medianTime: number;
  initialBlockDownload: boolean;
  /** Work of its best chain: of two nodes the one with more is ahead. */
  chainWork: bigint;
  /** Hex of the challenge script; only signets of Core 28 and newer tell it here. */
  signetChallenge: string | undefined;
  warnings: string;
}

export interface NetworkInfo {
  /** Like 290500. */
  version: number;
  subversion: string;
  connections: number;
  /** Satoshis a thousand virtual bytes. */
  relayFeeSatsPerKvb: bigint;
}

export interface BlockHeader {
  hash: string;
  /** -1: known, but not in the active chain. 1: it is the tip. */
  confirmations: number;
  height: number;
  /** Undefined for the genesis block. */
  previousBlockHash: string | undefined;
  /** Seconds since 1970, as the miner wrote it. */
  time: number;
}

/** A header with what it takes to build on it. */
export interface ChainHeader extends TipHeader {
  /** -1: known, but not in the active chain. 1: it is the tip. */
  confirmations: number;
  /** Work of the chain up to and with this block: the larger one wins. */
  chainWork: bigint;
}

export interface BlockSummary extends BlockHeader {
  txids: string[];
}

export interface MiningInfo {
  blocks: number;
  difficulty: number;
  /** The node's estimate from the last 120 blocks. */
  networkHashrateHs: number;
  pooledTransactions: number;
}

export interface ValidatedAddress {
  isValid: boolean;
  /** Hex of the output script, when valid. */
  scriptHex: string | undefined;
}

export interface MempoolVerdict {
  txid: string;
  allowed: boolean;
  /** Undefined when allowed. */
  rejectReason: string | undefined;
  /** Undefined when refused. */
  feeSats: bigint | undefined;
}

export interface DecodedTransaction {
  txid: string;
  wtxid: string;
  vsize: number;
  inputs: { txid: string; outputIndex: number }[];
  outputs: { valueSats: bigint; scriptHex: string; address: string | undefined }[];
}

/** One node; `wallet(name)` gives the calls of a wallet over the same connections. */
export class NodeRpc {
  readonly #connection: RpcConnection;

  constructor(options: RpcConnectionOptions) {
    this.#connection = new RpcConnection(options);
  }

  /** host:port, for messages and labels; holds no secret. */
  get name(): string {
    return this.#connection.endpoint.name;
  }

  get isClosed(): boolean {
    return this.#connection.isClosed;
  }

  /** Ends calls in flight; the client cannot be used afterwards. */
  close(): void {
    this.#connection.close();
  }

  getBlockchainInfo(options?: CallOptions): Promise<BlockchainInfo> {
    return this.#call(
      'getblockchaininfo',
      [],
      (result) => {
        const fields = new AnswerFields(result);
        return {
          chain: fields.text('chain'),
          blocks: fields.integer('blocks'),
          headers: fields.integer('headers'),
          bestBlockHash: fields.hash('bestblockhash'),
          difficulty: fields.number('difficulty'),
          medianTime: fields.integer('mediantime'),
          initialBlockDownload: fields.flag('initialblockdownload'),
          chainWork: workOf(fields),
          signetChallenge: fields.has('signet_challenge') ? fields.text('signet_challenge') : undefined,
          warnings: fields.joined('warnings'),
        };
      },
      options,
    );
  }

  getNetworkInfo(options?: CallOptions): Promise<NetworkInfo> {
    return this.#call(
      'getnetworkinfo',
      [],
      (result) => {
        const fields = new AnswerFields(result);
        return {
          version: fields.integer('version'),
          subversion: fields.text('subversion'),
          connections: fields.integer('connections'),
          relayFeeSatsPerKvb: fields.sats('relayfee'),
        };
      },
      options,
    );
  }

  /**
   * The template as the node gave it, to be read by `parseTemplate`. With `longPollId` the node answers only
   * when the tip or its mempool has moved on from that template (BIP22): use a NodeRpc of its own for that.
   */
  getBlockTemplate(rules: readonly string[], longPollId?: string, options?: CallOptions): Promise<object> {
    const request = longPollId === undefined ? { rules } : { rules, longpollid: longPollId };
    return this.#call(
      'getblocktemplate',
      [request],
      (result) => {
        new AnswerFields(result).hash('previousblockhash');
        return result as object;
      },
      options,
    );
  }

  /** Null when accepted, else the node's word for it (BIP22): duplicate, inconclusive, high-hash ... */
  submitBlock(blockHex: string, options?: CallOptions): Promise<string | null> {
    return this.#call(
      'submitblock',
      [blockHex],
      (result) => (result === null ? null : textOf(result, 'verdict')),
      options,
    );
  }

  /** Throws code -5 for a hash that the node does not know. */
  getBlockHeader(hash: string, options?: CallOptions): Promise<BlockHeader> {
    return this.#call('getblockheader', [hash, true], readHeader, options);
  }

  /** The same with target, median time and chain work. Throws code -5 for a hash that the node does not know. */
  getChainHeader(hash: string, options?: CallOptions): Promise<ChainHeader> {
    return this.#call('getblockheader', [hash, true], readChainHeader, options);
  }

  /**
   * Makes the node prefer this block to others of the same work, as if it had come first. Throws code -5 for a
   * hash that it does not know.
   */
  async preciousBlock(hash: string, options?: CallOptions): Promise<void> {
    await this.#call('preciousblock', [hash], () => undefined, options);
  }

  /** Addresses that the node publishes `hashblock` messages on (ZMQ), as it binds to them; often none. */
  getHashblockAddresses(options?: CallOptions): Promise<string[]> {
    return this.#call(
      'getzmqnotifications',
      [],
      (result) =>
        listOf(result, 'notifications')
          .map((entry) => new AnswerFields(entry))
          .filter((entry) => entry.text('type') === 'pubhashblock')
          .map((entry) => entry.text('address')),
      options,
    );
  }

  getBlockHash(height: number, options?: CallOptions): Promise<string> {
    return this.#call('getblockhash', [height], (result) => hashOf(result, 'block hash'), options);
  }

  getBestBlockHash(options?: CallOptions): Promise<string> {
    return this.#call('getbestblockhash', [], (result) => hashOf(result, 'block hash'), options);
  }

  /** Header and transaction ids of a block. */
  getBlock(hash: string, options?: CallOptions): Promise<BlockSummary> {
    return this.#call(
      'getblock',
      [hash, 1],
      (result) => {
        const txids = new AnswerFields(result).list('tx').map((txid) => hashOf(txid, 'txid'));
        return { ...readHeader(result), txids };
      },
      options,
    );
  }

  /** All that the coinbase of a block pays. */
  async getCoinbaseSats(blockHash: string): Promise<bigint> {
    return (await this.getCoinbaseOutputs(blockHash)).reduce((sum, { sats }) => sum + sats, 0n);
  }

  /** The outputs of a block's coinbase, in order. Needs no transaction index. */
  async getCoinbaseOutputs(blockHash: string): Promise<TransactionOutput[]> {
    const { txids } = await this.getBlock(blockHash);
    return this.#call('getrawtransaction', [txids[0], true, blockHash], (result) =>
      new AnswerFields(result).list('vout').map((output) => {
        const fields = new AnswerFields(output);
        return { sats: fields.sats('value'), script: hexToBytes(fields.object('scriptPubKey').text('hex')) };
      }),
    );
  }

  /** Hash and transaction fees of the best chain's block at `height`. Throws where it is pruned away. */
  getBlockFees(height: number, options?: CallOptions): Promise<{ hash: string; feesSats: bigint }> {
    return this.#call(
      'getblockstats',
      [height, ['blockhash', 'totalfee']],
      (result) => {
        const fields = new AnswerFields(result);
        return {
          hash: hashOf(fields.text('blockhash'), 'block hash'),
          feesSats: BigInt(fields.integer('totalfee')),
        };
      },
      options,
    );
  }

  getMiningInfo(options?: CallOptions): Promise<MiningInfo> {
    return this.#call(
      'getmininginfo',
      [],
      (result) => {
        const fields = new AnswerFields(result);
        return {
          blocks: fields.integer('blocks'),
          difficulty: fields.number('difficulty'),
          networkHashrateHs: fields.number('networkhashps'),
          pooledTransactions: fields.integer('pooledtx'),
        };
      },
      options,
    );
  }

  /** Names of the consensus changes that the node knows. */
  getDeploymentNames(options?: CallOptions): Promise<string[]> {
    return this.#call(
      'getdeploymentinfo',
      [],
      (result) => new AnswerFields(result).object('deployments').keys(),
      options,
    );
  }

  validateAddress(address: string): Promise<ValidatedAddress> {
    return this.#call('validateaddress', [address], (result) => {
      const fields = new AnswerFields(result);
      return {
        isValid: fields.flag('isvalid'),
        scriptHex: fields.has('scriptPubKey') ? fields.text('scriptPubKey') : undefined,
      };
    });
  }

  /** Whether the mempool would take the signed transaction; nothing is sent. */
  testMempoolAccept(transactionHex: string): Promise<MempoolVerdict> {
    return this.#call('testmempoolaccept', [[transactionHex]], (result) => {
      const fields = new AnswerFields(listOf(result, 'verdicts')[0]);
      const allowed = fields.flag('allowed');
      return {
        txid: fields.hash('txid'),
        allowed,
        rejectReason: allowed ? undefined : fields.text('reject-reason'),
        feeSats: allowed ? fields.object('fees').sats('base') : undefined,
      };
    });
  }

  /** Broadcasts exactly these bytes; safe to repeat while they are in the mempool. Resolves to the txid. */
  sendRawTransaction(transactionHex: string): Promise<string> {
    return this.#call('sendrawtransaction', [transactionHex], (result) => hashOf(result, 'txid'));
  }

  decodeRawTransaction(transactionHex: string): Promise<DecodedTransaction> {
    return this.#call('decoderawtransaction', [transactionHex], (result) => {
      const fields = new AnswerFields(result);
      return {
        txid: fields.hash('txid'),
        wtxid: fields.hash('hash'),
        vsize: fields.integer('vsize'),
        inputs: fields
          .list('vin')
          .map((input) => new AnswerFields(input))
          .filter((input) => !input.has('coinbase'))
          .map((input) => ({ txid: input.hash('txid'), outputIndex: input.integer('vout') })),
        outputs: fields.list('vout').map((output) => {
          const parts = new AnswerFields(output);
          const script = parts.object('scriptPubKey');
          return {
            valueSats: parts.sats('value'),
            scriptHex: script.text('hex'),
            address: script.has('address') ? script.text('address') : undefined,
          };
        }),
      };
    });
  }

  finalizePsbt(psbt: string): Promise<{ complete: boolean; transactionHex: string | undefined }> {
    return this.#call('finalizepsbt', [psbt], (result) => {
      const fields = new AnswerFields(result);
      const complete = fields.flag('complete');
      return { complete, transactionHex: complete ? fields.text('hex') : undefined };
    });
  }

  /** Puts the signatures of several copies of one PSBT together. Throws code -8 for different transactions. */
  combinePsbt(psbts: readonly string[]): Promise<string> {
    return this.#call('combinepsbt', [psbts], (result) => textOf(result, 'psbt'));
  }

  /** What a PSBT pays to the network; undefined when it does not say what its inputs are worth. */
  getPsbtFee(psbt: string): Promise<bigint | undefined> {
    return this.#call('decodepsbt', [psbt], (result) => {
      const fields = new AnswerFields(result);
      return fields.has('fee') ? fields.sats('fee') : undefined;
    });
  }

  /** Fee rate that should confirm within `blocks`, satoshis a virtual byte; null while the node knows none. */
  estimateSmartFee(blocks: number): Promise<number | null> {
    return this.#call('estimatesmartfee', [blocks, 'economical'], (result) => {
      const fields = new AnswerFields(result);
      return fields.has('feerate') ? Number(fields.sats('feerate')) / 1000 : null;
    });
  }

  /** Regtest only: mines `count` blocks to the address. For tests. */
  generateToAddress(count: number, address: string): Promise<string[]> {
    return this.#call(
      'generatetoaddress',
      [count, address],
      (result) => listOf(result, 'blocks').map((hash) => hashOf(hash, 'block hash')),
      { repeatable: false },
    );
  }

  listWallets(): Promise<string[]> {
    return this.#call('listwallets', [], (result) =>
      listOf(result, 'wallets').map((name) => textOf(name, 'name')),
    );
  }

  /** Creates a descriptor wallet that the node loads again at each of its starts. */
  async createWallet(name: string): Promise<void> {
    const loadOnStartup = true;
    await this.#call('createwallet', [name, false, false, '', false, true, loadOnStartup], () => undefined, {
      repeatable: false,
    });
  }

  /** Loads a wallet that exists on the node's disk; nothing happens when it is loaded. */
  async loadWallet(name: string): Promise<void> {
    try {
      await this.#call('loadwallet', [name, true], () => undefined);
    } catch (error) {
      if (!(error instanceof NodeRpcError) || error.code !== RPC_WALLET_ALREADY_LOADED) throw error;
    }
  }

  /** The wallet of this name, loaded, and created when the node has none. */
  async openWallet(name: string): Promise<WalletRpc> {
    const loaded = await this.listWallets();
    if (!loaded.includes(name)) {
      const onDisk = await this.#call('listwalletdir', [], (result) =>
        new AnswerFields(result).list('wallets').map((entry) => new AnswerFields(entry).text('name')),
      );
      if (onDisk.includes(name)) await this.loadWallet(name);
      else await this.createWallet(name);
    }
    return this.wallet(name);
  }

  /** Calls of a wallet that is loaded. */
  wallet(name: string): WalletRpc {
    return new WalletRpc(this.#connection, name);
  }

  /** Seconds since the node started: the cheapest sign of life. */
  uptime(options?: CallOptions): Promise<number> {
    return this.#call('uptime', [], (result) => numberOf(result, 'uptime'), options);
  }

  /**
   * Makes the node write its chain to disk now: it does so by itself about once an hour, and a killed node
   * forgets what came after. Costs a walk over all unspent coins, so only for a small chain of our own.
   * (`gettxoutsetinfo` flushes first; Bitcoin Core, rpc/blockchain.cpp.)
   */
  async flushChainToDisk(): Promise<void> {
    await this.#call('gettxoutsetinfo', ['none'], () => undefined);
  }

  /** Asks the node to shut down. */
  async stop(): Promise<void> {
    await this.#call('stop', [], () => undefined, { repeatable: false });
  }

  #call<T>(
    method: string,
    params: readonly unknown[],
    read: (result: unknown) => T,
    options?: CallOptions,
  ): Promise<T> {
    return this.#connection.call(method, params, read, options);
  }
}

function readHeader(result: unknown): BlockHeader {
  const fields = new AnswerFields(result);
  return {
    hash: fields.hash('hash'),
    confirmations: fields.integer('confirmations'),
    height: fields.integer('height'),
    previousBlockHash: fields.has('previousblockhash') ? fields.hash('previousblockhash') : undefined,
    time: fields.integer('time'),
  };
}

function readChainHeader(result: unknown): ChainHeader {
  const fields = new AnswerFields(result);
  const bits = fields.text('bits');
  if (!/^[0-9a-f]{8}$/.test(bits)) throw new AnswerShapeError('bits are not 8 hex digits');
  return {
    hash: fields.hash('hash'),
    confirmations: fields.integer('confirmations'),
    height: fields.integer('height'),
    bits: Number.parseInt(bits, 16),
    medianTime: fields.integer('mediantime'),
    chainWork: workOf(fields),
  };
}

function workOf(fields: AnswerFields): bigint {
  return BigInt(`0x${fields.hash('chainwork')}`);
}
