// The chains Millrace knows, and what differs between them (Bitcoin Core kernel/chainparams.cpp).
// `private` is a signet of our own whose challenge is OP_TRUE: anyone may mine it, difficulty is real.

import { targetFromBits } from './target.js';

export type NetworkName = 'mainnet' | 'testnet4' | 'signet' | 'regtest' | 'private';

export interface NetworkParameters {
  readonly name: NetworkName;
  /** What `getblockchaininfo` says in `chain`. */
  readonly chain: 'main' | 'testnet4' | 'signet' | 'regtest';
  /** Rules to ask `getblocktemplate` with. */
  readonly templateRules: readonly string[];
  readonly bech32Prefix: string;
  readonly p2pkhVersion: number;
  readonly p2shVersion: number;
  /** Genesis header, 80 bytes in hex. */
  readonly genesisHeader: string;
  /** Its hash in display order. */
  readonly genesisHash: string;
  /** Easiest target of a block. */
  readonly powLimit: bigint;
  /** Signet block challenge script in hex, where we start that signet ourselves. */
  readonly signetChallenge?: string;
  /** Blocks on top of a coinbase before it can be spent. */
  readonly coinbaseMaturity: number;
  /** Blocks between two halvings of the subsidy. */
  readonly halvingInterval: number;
}

/** Coinbase transaction of the genesis block of mainnet, signet and regtest, in hex. */
export const GENESIS_COINBASE =
  '01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d010445' +
  '5468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e' +
  '64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7' +
  '105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000';

const GENESIS_START = `01000000${'00'.repeat(32)}`;
const GENESIS_ROOT = '3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a';

const mainnet: NetworkParameters = {
  name: 'mainnet',
  chain: 'main',
  templateRules: ['segwit'],
  bech32Prefix: 'bc',
  p2pkhVersion: 0,
  p2shVersion: 5,
  genesisHeader: `${GENESIS_START}${GENESIS_ROOT}29ab5f49ffff001d1dac2b7c`,
  genesisHash: '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f',
  powLimit: (1n << 224n) - 1n,
  coinbaseMaturity: 100,
  halvingInterval: 210_000,
};

const testnet4: NetworkParameters = {
  ...mainnet,
  name: 'testnet4',
  chain: 'testnet4',
  bech32Prefix: 'tb',
  p2pkhVersion: 111,
  p2shVersion: 196,
  genesisHeader: `${GENESIS_START}4e7b2b9128fe0291db0693af2ae418b767e657cd407e80cb1434221eaea7a07a046f3566ffff001dbb0c7817`,
  genesisHash: '00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043',
};

const signet: NetworkParameters = {
  ...testnet4,
  name: 'signet',
  chain: 'signet',
  templateRules: ['segwit', 'signet'],
  genesisHeader: `${GENESIS_START}${GENESIS_ROOT}008f4d5fae77031e8ad22203`,
  genesisHash: '00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6',
  powLimit: targetFromBits(0x1e0377ae),
};

const regtest: NetworkParameters = {
  ...testnet4,
  name: 'regtest',
  chain: 'regtest',
  bech32Prefix: 'bcrt',
  genesisHeader: `${GENESIS_START}${GENESIS_ROOT}dae5494dffff7f2002000000`,
  genesisHash: '0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206',
  powLimit: (1n << 255n) - 1n,
  halvingInterval: 150,
};

/** Parameters by the name that configuration uses. */
export const NETWORKS: Readonly<Record<NetworkName, NetworkParameters>> = {
  mainnet,
  testnet4,
  signet,
  regtest,
  // Every signet has the same genesis block; only the challenge, and with it the magic of its peers, differs.
  private: { ...signet, name: 'private', signetChallenge: '51' },
};
