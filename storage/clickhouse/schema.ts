// The migrations as statements: what stands for {{...}} in the files, on one server and on a cluster.
import { join } from 'node:path';
import { VERDICTS } from '../../engine/work/verdict.js';
import { readMigrations } from '../migration-files.js';
import { projectRoot } from '../project-root.js';

export interface ClickHouseSchema {
  /**
   * Engine that stands for {{MergeTree}} in the files: MergeTree, or the Replicated one with its path, which must
   * hold {table}. The aggregating engine is derived from it.
   */
  mergeTree: string;
  /** What stands for {{ON_CLUSTER}}: empty, or `ON CLUSTER name`. */
  onCluster: string;
}

export const MIGRATIONS = join(projectRoot(), 'storage', 'clickhouse', 'migrations');

/**
 * The schema on one server, or on a cluster whose servers have the macros {shard} and {replica}.
 * @throws Error when `cluster` is no plain name.
 */
export function schemaOf(cluster: string | undefined): ClickHouseSchema {
  if (cluster === undefined) return { mergeTree: 'MergeTree', onCluster: '' };
  if (!/^\w{1,64}$/.test(cluster)) {
    throw new Error(`${cluster} is no name of a ClickHouse cluster: letters, digits and _ only. Correct it`);
  }
  return {
    mergeTree: "ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')",
    onCluster: `ON CLUSTER ${cluster}`,
  };
}

/** The values of the enum. */
export const verdictList = () => VERDICTS.map(({ name, code }) => `'${name}' = ${code}`).join(', ');

/** `sql` of a migration as it runs with `schema`. */
export function fill(schema: ClickHouseSchema, sql: string): string {
  return sql
    .replaceAll('{{MergeTree}}', schema.mergeTree)
    .replaceAll('{{AggregatingMergeTree}}', schema.mergeTree.replace('MergeTree', 'AggregatingMergeTree'))
    .replaceAll('{{ON_CLUSTER}}', schema.onCluster)
    .replaceAll('{{VERDICTS}}', verdictList());
}

/** All statements of the migrations in `folder`, in order, as they would run with `schema`. */
export function schemaStatements(schema: ClickHouseSchema, folder = MIGRATIONS): string[] {
  return readMigrations(folder).flatMap(({ sql }) => statements(sql).map((one) => fill(schema, one)));
}

/** The statements of a file, without the comments before them. */
export function statements(sql: string): string[] {
  return sql
    .split(/;[ \t]*(?:\n|$)/)
    .map((statement) => statement.replace(/^(?:\s*--.*\n)+/, '').trim())
    .filter((statement) => statement !== '');
}
