// Ports, difficulties and limits of miners.
import { Type } from '@sinclair/typebox';
import { byKind, notes, PORT } from './settings-notes.js';
import { STRATUM_PORT_FORM } from './stratum-ports.js';

const MINERS = 'Miners';

export const MINER_SETTINGS = {
  stratum_port: Type.Integer(
    notes({
      group: MINERS,
      default: 3333,
      ...PORT,
      description: 'Port for miners (Stratum V1); busy: the next free one',
    }),
  ),
  stratum_host: Type.String(
    notes({
      group: MINERS,
      default: '0.0.0.0',
      format: 'host',
      unit: 'address',
      description: 'Interface that miners connect to; 127.0.0.1 for this machine only',
    }),
  ),
  stratum_ports: Type.Optional(
    Type.Array(
      Type.String({ format: 'stratum-port' }),
      notes({
        group: MINERS,
        minItems: 1,
        maxItems: 32,
        unit: `${STRATUM_PORT_FORM}, comma-separated`,
        unset: 'STRATUM_PORT alone',
        description: 'Further ports, with TLS, WebSocket or a difficulty of their own',
      }),
    ),
  ),
  tls_cert_file: Type.Optional(
    Type.String(
      notes({
        group: MINERS,
        minLength: 1,
        unit: 'path of a PEM file',
        unset: 'no TLS',
        description: 'Certificate chain of the TLS ports; a new file is taken over while the pool runs',
      }),
    ),
  ),
  tls_key_file: Type.Optional(
    Type.String(
      notes({
        group: MINERS,
        minLength: 1,
        unit: 'path of a PEM file',
        unset: 'no TLS',
        description: 'Private key of TLS_CERT_FILE',
      }),
    ),
  ),
  proxy_protocol_from: Type.Optional(
    Type.Array(
      Type.String({ format: 'cidr' }),
      notes({
        group: MINERS,
        minItems: 1,
        maxItems: 256,
        unit: 'addresses or networks (10.0.0.0/8), separated by commas',
        unset: 'nobody',
        description: 'Load balancers that must begin each connection with a PROXY header (v1 or v2)',
      }),
    ),
  ),
  connection_threads: Type.Integer(
    notes({
      group: MINERS,
      default: 1,
      minimum: 1,
      maximum: 16,
      unit: 'threads',
      description: 'Threads that serve miners: on one port from Node 22.12 on, on consecutive ports before',
    }),
  ),
  share_difficulty: Type.Number(
    notes({
      group: MINERS,
      minimum: 1e-10,
      maximum: 1e15,
      unit: 'difficulty',
      networkDefault: { private: 1e-5, regtest: 1e-6, signet: 1, testnet4: 1, mainnet: 8192 },
      description: 'Difficulty a connection starts with, and keeps where VARDIFF_ENABLED is false',
    }),
  ),
  vardiff_enabled: Type.Boolean(
    notes({
      group: MINERS,
      default: true,
      description: 'Adapt the difficulty of each connection to its hashrate',
    }),
  ),
  vardiff_shares_per_minute: Type.Number(
    notes({
      group: MINERS,
      networkDefault: byKind(120, 18),
      minimum: 0.1,
      maximum: 6000,
      unit: 'shares/min',
      description: 'Shares each connection is led to send; 18 measure its hashrate to 10 % in 5 minutes',
    }),
  ),
  vardiff_min: Type.Optional(
    Type.Number(
      notes({
        group: MINERS,
        minimum: 1e-10,
        maximum: 1e15,
        unit: 'difficulty',
        unset: 'SHARE_DIFFICULTY / 4096',
        description: 'Lowest difficulty that a connection is led to',
      }),
    ),
  ),
  vardiff_max: Type.Number(
    notes({
      group: MINERS,
      default: 1e15,
      minimum: 1e-10,
      maximum: 1e15,
      unit: 'difficulty',
      description: 'Highest difficulty that a connection is led to; never above that of the network',
    }),
  ),
  vardiff_power_of_two: Type.Boolean(
    notes({
      group: MINERS,
      default: false,
      description: 'Only powers of two as difficulties, for firmware that rounds others',
    }),
  ),
  max_connections: Type.Integer(
    notes({
      group: MINERS,
      default: 20_000,
      minimum: 1,
      maximum: 1_000_000,
      unit: 'connections',
      description: 'Miner connections at once; further ones are closed',
    }),
  ),
  max_connections_per_address: Type.Integer(
    notes({
      group: MINERS,
      default: 0,
      minimum: 0,
      maximum: 1_000_000,
      unit: 'connections, 0 = half of MAX_CONNECTIONS',
      description: 'Connections from one address at once; this machine itself is not limited',
    }),
  ),
  ban_duration: Type.Integer(
    notes({
      group: MINERS,
      default: 600,
      minimum: 0,
      maximum: 86_400,
      unit: 's, 0 = no bans',
      description: 'How long an address stays out that sent nothing but bad work; doubles each time',
    }),
  ),
  hash_workers: Type.Integer(
    notes({
      group: MINERS,
      default: 0,
      minimum: 0,
      maximum: 32,
      unit: 'threads, 0 = cores - 1',
      description: 'Threads that check shares',
    }),
  ),
  share_cache_size: Type.Integer(
    notes({
      group: MINERS,
      default: 20_000_000,
      minimum: 1000,
      maximum: 100_000_000,
      unit: 'shares, 32 to 64 bytes each',
      description: 'Shares the duplicate filter can hold; full, it refuses new shares and forgets none',
    }),
  ),
};
