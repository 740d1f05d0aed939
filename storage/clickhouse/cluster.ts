// The tables of a cluster of several shards as one: Distributed tables over the local ones, which the shipper fills.
// https://clickhouse.com/docs/engines/table-engines/special/distributed
import { MIGRATIONS, schemaOf, schemaStatements } from './schema.js';

/**
 * What a cluster has beside its local tables: a database with a Distributed table of the same name over each of them,
 * and the same views: whoever asks there is answered for all shards. `views` are to run in that database.
 */
export function distributedStatements(
  cluster: string,
  database: string,
  folder = MIGRATIONS,
): { database: string; tables: string[]; views: string[] } {
  const schema = schemaOf(cluster);
  const local = schemaStatements(schema, folder);
  const all = `${database}_all`;
  const tables = local.flatMap(
    (statement) => /^CREATE TABLE (?:IF NOT EXISTS )?(\w+)/.exec(statement)?.[1] ?? [],
  );
  const views = local.flatMap((statement) => {
    const found = /^CREATE (?:OR REPLACE )?VIEW (?:IF NOT EXISTS )?(\w+) (.*)$/s.exec(statement);
    return found === null ? [] : [{ name: found[1] as string, rest: found[2] as string }];
  });
  const newest = new Map(views.map(({ name, rest }) => [name, rest]));
  return {
    database: all,
    tables: [
      `CREATE DATABASE IF NOT EXISTS ${all} ${schema.onCluster}`,
      ...tables.map(
        (table) =>
          `CREATE OR REPLACE TABLE ${all}.${table} ${schema.onCluster} AS ${database}.${table}
           ENGINE = Distributed(${cluster}, ${database}, ${table})`,
      ),
    ],
    views: [...newest].map(([name, rest]) => `CREATE OR REPLACE VIEW ${name} ${rest}`),
  };
}
