// What is shown, and the simulated miners.
import { Type } from '@sinclair/typebox';
import { byKind, notes, PORT } from './settings-notes.js';

const WATCH = 'API, statistics and logs';
const SIMULATED = 'Simulated miners';

export const WATCH_SETTINGS = {
  api_port: Type.Integer(
    notes({
      group: WATCH,
      default: 3003,
      ...PORT,
      description: 'Port of the web page, /api/stats, /metrics and /health; busy: the next free one',
    }),
  ),
  api_host: Type.String(
    notes({
      group: WATCH,
      default: '127.0.0.1',
      format: 'host',
      unit: 'address',
      description: 'Interface of the API; 0.0.0.0 shows it to the network',
    }),
  ),
  stats_update_interval: Type.Number(
    notes({
      group: WATCH,
      default: 2,
      minimum: 0.2,
      maximum: 3600,
      unit: 's',
      description: 'Time between two updates of statistics and metrics',
    }),
  ),
  hashrate_window: Type.Integer(
    notes({
      group: WATCH,
      default: 300,
      minimum: 10,
      maximum: 86_400,
      unit: 's',
      description: 'Time that the hashrate of an account is measured over; silent for longer, it is offline',
    }),
  ),
  log_level: Type.Union(
    [
      Type.Literal('trace'),
      Type.Literal('debug'),
      Type.Literal('info'),
      Type.Literal('warn'),
      Type.Literal('error'),
      Type.Literal('fatal'),
      Type.Literal('silent'),
    ],
    notes({
      group: WATCH,
      default: 'info',
      unit: 'trace, debug, info, warn, error, fatal or silent',
      description: 'Least important log line that is written',
    }),
  ),

  sim_miners: Type.Integer(
    notes({
      group: SIMULATED,
      minimum: 0,
      maximum: 20_000,
      unit: 'miners, 0 = none',
      networkDefault: byKind(3, 0),
      description: 'Simulated miners that really hash, started with the pool',
    }),
  ),
  sim_hashrate: Type.Number(
    notes({
      group: SIMULATED,
      default: 0,
      minimum: 0,
      maximum: 1e15,
      unit: 'H/s in all, 0 = automatic',
      description: 'What they hash together; automatic: fast at first, then a block a minute',
    }),
  ),
};
