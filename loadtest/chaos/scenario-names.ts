// The outages there are, in the order they run.
export const SCENARIO_NAMES = [
  'clickhouse-killed',
  'clickhouse-frozen',
  'clickhouse-slow',
  'postgres-killed',
  'postgres-frozen',
  'postgres-slow',
  'both-killed',
  'both-frozen',
  'node-frozen',
  'node-killed',
  'disk-full',
  'clock',
] as const;

export type ScenarioName = (typeof SCENARIO_NAMES)[number];
