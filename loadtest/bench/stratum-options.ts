// Options of the stratum suite: which measures, which part of the engine, which other pools.
import { UsageError } from './command-line.js';
import { MEASURES, type MeasureName } from './stratum-measures.js';
import type { Peer } from './stratum-target.js';
import { SWARM_USER } from './swarm-user.js';

export type EngineName = 'thread' | 'pool';

const PEER_NAME = /^[a-z][a-z0-9_-]{0,31}$/;

/** @throws UsageError for a measure that does not exist */
export function parseMeasures(only: readonly string[]): MeasureName[] {
  const names = only.flatMap((list) => list.split(','));
  for (const name of names) {
    if (!MEASURES.some((known) => known === name)) {
      throw new UsageError(`--only: there is no measure "${name}", expected some of: ${MEASURES.join(',')}`);
    }
  }
  return names.length === 0 ? [...MEASURES] : MEASURES.filter((name) => names.includes(name));
}

/**
 * `thread`: the connection thread alone; `pool`: the whole pool with its stores.
 * @throws UsageError for another word
 */
export function parseEngine(given: readonly string[]): EngineName {
  const [engine = 'thread', ...more] = given;
  if ((engine === 'thread' || engine === 'pool') && more.length === 0) return engine;
  throw new UsageError(`--engine "${given.join(' ')}": expected thread or pool`);
}

/**
 * @param specs `name,host,port,pid` or `name,host,port,pid,user`
 * @param tipCommands at most one, for a single peer
 * @throws UsageError when one cannot be understood
 */
export function parsePeers(specs: readonly string[], tipCommands: readonly string[]): Peer[] {
  const [tipCommand = null] = tipCommands;
  if (tipCommands.length > 1 || (tipCommand !== null && specs.length !== 1)) {
    throw new UsageError('--tip-command makes a new tip for one --peer: give one of each');
  }
  return specs.map((spec) => {
    const [name = '', host = '', port, pid, user = SWARM_USER, ...more] = spec.split(',');
    const peer = { name, host, port: Number(port), pid: Number(pid), user, tipCommand };
    const fits =
      PEER_NAME.test(name) &&
      name !== 'stratum' &&
      host !== '' &&
      isWithin(peer.port, 65_535) &&
      isWithin(peer.pid, 2 ** 31) &&
      /^[!#-[\]-~]+$/.test(user);
    if (!fits || more.length > 0) {
      throw new UsageError(`--peer "${spec}": expected NAME,HOST,PORT,PID or NAME,HOST,PORT,PID,USER`);
    }
    return peer;
  });
}

function isWithin(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= most;
}
