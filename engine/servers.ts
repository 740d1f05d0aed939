// The servers a pool stands on: node, Postgres, ClickHouse. Each is the operator's own when its setting
// names it, else one that Millrace brings up, keeps alive and takes down with itself.
import { join } from 'node:path';
import type { ClickHouseOptions } from '../storage/clickhouse/client.js';
import { parseClickHouseUrl } from '../storage/clickhouse/url.js';
import { type RunningBitcoind, startBitcoind } from '../storage/embedded/bitcoind.js';
import { startClickHouse } from '../storage/embedded/clickhouse.js';
import { keepRunning } from '../storage/embedded/keep-running.js';
import { startPostgres } from '../storage/embedded/postgres.js';
import type { Config } from './config/config.js';
import type { Logger } from './config/log.js';
import { parseRpcUrl, type RpcEndpoint } from './node/rpc-endpoint.js';

/** One line of the start-up table. */
export interface Part {
  name: string;
  where: string;
  /** What replaces it, or where it is set. */
  setting: string;
}

export interface Servers {
  nodes: RpcEndpoint[];
  /** True when the node is ours: wallets may be made on it. */
  ownNode: boolean;
  nodeWhere: string;
  postgresUrl: string;
  postgresWhere: string;
  /** How to open the embedded ledger with psql; null for a database of the operator's own. */
  postgresHint: string | null;
  clickhouse: ClickHouseOptions;
  /** For those who only read. */
  clickhouseReader: ClickHouseOptions;
  clickhouseWhere: string;
  /** For people: where to point curl and Grafana. */
  clickhouseHttp: string;
  parts: Part[];
  /** Stops the embedded ones: ClickHouse, Postgres, node. */
  stop(): Promise<void>;
}

interface Started<T> {
  value: T;
  stop: () => Promise<void>;
}

const NODE_STOP_MS = 30_000;

/**
 * Brings up what is not configured, all at once. Throws when one cannot be had, after stopping the others;
 * the message names the setting that replaces it.
 */
export async function startServers(config: Config, log: Logger): Promise<Servers> {
  const starting = [startNode(config, log), startLedger(config, log), startShares(config, log)] as const;
  const results = await Promise.allSettled(starting);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) {
    for (const result of results) if (result.status === 'fulfilled') await result.value.stop();
    throw failed.reason;
  }
  const [node, ledger, shares] = await Promise.all(starting);
  return {
    ...node.value,
    ...ledger.value,
    ...shares.value,
    parts: [
      { name: 'Bitcoin node', where: node.value.nodeWhere, setting: 'BITCOIN_RPC_URL' },
      { name: 'Postgres (ledger)', where: ledger.value.postgresWhere, setting: 'DATABASE_URL' },
      { name: 'ClickHouse (shares)', where: shares.value.clickhouseWhere, setting: 'CLICKHOUSE_URL' },
    ],
    async stop() {
      await shares.stop();
      await ledger.stop();
      await node.stop();
    },
  };
}

type NodePart = Pick<Servers, 'nodes' | 'ownNode' | 'nodeWhere'>;

async function startNode(config: Config, log: Logger): Promise<Started<NodePart>> {
  if (config.bitcoinRpcUrls.length > 0) {
    const nodes = config.bitcoinRpcUrls.map((url) => parseRpcUrl(url));
    const nodeWhere = `yours, ${nodes.map(({ name }) => name).join(', ')}`;
    return { value: { nodes, ownNode: false, nodeWhere }, stop: async () => {} };
  }
  const { network } = config;
  if (network !== 'private' && network !== 'regtest') {
    throw new Error(`NETWORK ${network} needs a node of yours. Set BITCOIN_RPC_URL`);
  }
  let first: RunningBitcoind | undefined;
  const start = async () => {
    // Clients know its port: a node that comes back must have the same.
    const rpcPort = first === undefined ? undefined : Number(new URL(first.rpcUrl).port);
    const running = await startBitcoind({
      dataDir: config.dataDir,
      network,
      log: (line) => log.info({ part: 'node' }, line),
      env: config.bitcoindPath === null ? process.env : { ...process.env, BITCOIND: config.bitcoindPath },
      ...(rpcPort === undefined ? {} : { rpcPort }),
    });
    first ??= running;
    const { pid, exited } = running;
    const stop = async () => {
      await running.stop();
      return exited;
    };
    return { pid, exited, stop, lastLines: () => [] };
  };
  const kept = await keepRunning({
    name: 'Bitcoin node',
    start,
    log: (line) => log.warn({ part: 'node' }, line),
  });
  const { rpcUrl, cookieFile, subversion, origin } = first as unknown as RunningBitcoind;
  const endpoint = parseRpcUrl(rpcUrl, cookieFile);
  return {
    value: {
      nodes: [endpoint],
      ownNode: true,
      nodeWhere: `embedded ${subversion.replaceAll('/', '')} (${origin}), ${endpoint.name}`,
    },
    stop: () => kept.stop(NODE_STOP_MS),
  };
}

type LedgerPart = Pick<Servers, 'postgresUrl' | 'postgresWhere' | 'postgresHint'>;

async function startLedger(config: Config, log: Logger): Promise<Started<LedgerPart>> {
  if (config.databaseUrl !== null) {
    const { host, pathname } = new URL(config.databaseUrl);
    const postgresWhere = `yours, ${host}${pathname}`;
    return {
      value: { postgresUrl: config.databaseUrl, postgresWhere, postgresHint: null },
      stop: async () => {},
    };
  }
  const running = await startPostgres({
    dataDir: join(config.dataDir, 'postgres'),
    log: (line) => log.info({ part: 'postgres' }, line),
  });
  return {
    value: {
      postgresUrl: running.url,
      postgresWhere: `embedded PostgreSQL ${running.version}, 127.0.0.1:${running.port}`,
      postgresHint: `PGPASSWORD=$(cat ${join(config.dataDir, 'postgres', 'password')}) psql -h 127.0.0.1 -p ${running.port} -U millrace`,
    },
    stop: () => running.stop(),
  };
}

type SharesPart = Pick<Servers, 'clickhouse' | 'clickhouseReader' | 'clickhouseWhere' | 'clickhouseHttp'>;

async function startShares(config: Config, log: Logger): Promise<Started<SharesPart>> {
  if (config.clickhouseUrl !== null) {
    const url = new URL(config.clickhouseUrl);
    const clickhouse = parseClickHouseUrl(config.clickhouseUrl);
    const clickhouseWhere = `yours, ${url.host}${url.pathname}`;
    return {
      value: {
        clickhouse,
        clickhouseReader: clickhouse,
        clickhouseWhere,
        clickhouseHttp: `${url.protocol}//${url.host}`,
      },
      stop: async () => {},
    };
  }
  const running = await startClickHouse({
    dataDir: join(config.dataDir, 'clickhouse'),
    ...(config.clickhousePort === 0 ? {} : { port: config.clickhousePort }),
    log: (line) => log.info({ part: 'clickhouse' }, line),
  });
  return {
    value: {
      clickhouse: { url: running.url, ...running.writer },
      clickhouseReader: { url: running.url },
      clickhouseWhere: `embedded chdb engine ${running.version}, 127.0.0.1:${running.port}`,
      clickhouseHttp: running.url,
    },
    stop: () => running.stop(),
  };
}
