// The chain that is mined and the nodes that serve it.
import { Type } from '@sinclair/typebox';
import { notes } from './settings-notes.js';

const CHAIN = 'Bitcoin node';

export const CHAIN_SETTINGS = {
  network: Type.Union(
    [
      Type.Literal('private'),
      Type.Literal('regtest'),
      Type.Literal('signet'),
      Type.Literal('testnet4'),
      Type.Literal('mainnet'),
    ],
    notes({
      group: CHAIN,
      default: 'private',
      unit: 'private, regtest, signet, testnet4 or mainnet',
      description:
        'Chain to mine. private: a signet of our own that anyone may mine. The last three need POOL_ADDRESS and BITCOIN_RPC_URL',
    }),
  ),
  bitcoin_rpc_url: Type.Optional(
    Type.Array(
      Type.String({ format: 'http-url' }),
      notes({
        group: CHAIN,
        secret: true,
        minItems: 1,
        maxItems: 16,
        unit: 'http://user:password@host:port, several separated by commas',
        unset: 'own bitcoind',
        description: 'Nodes to take templates from and send blocks to, best first',
      }),
    ),
  ),
  bitcoind: Type.Optional(
    Type.String(
      notes({
        group: CHAIN,
        minLength: 1,
        unit: 'path',
        unset: 'found on PATH or unpacked from Debian',
        description: 'bitcoind to start when BITCOIN_RPC_URL is not set',
      }),
    ),
  ),
  pool_address: Type.Optional(
    Type.String(
      notes({
        group: CHAIN,
        minLength: 1,
        maxLength: 100,
        unit: 'Bitcoin address',
        unset: 'address of the node wallet',
        description: 'Address that the coinbase of each block pays',
      }),
    ),
  ),
  coinbase_tag: Type.String(
    notes({
      group: CHAIN,
      default: '/Millrace/',
      maxLength: 32,
      pattern: '^[ -~]*$',
      unit: 'at most 32 printable ASCII characters',
      description: 'Text that marks our blocks, in their coinbase',
    }),
  ),
  job_refresh_interval: Type.Integer(
    notes({
      group: CHAIN,
      default: 30,
      minimum: 1,
      maximum: 600,
      unit: 's',
      description: 'Age at which a job is replaced by one with newer transactions',
    }),
  ),
};
