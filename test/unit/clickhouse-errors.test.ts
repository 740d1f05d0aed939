import { describe, expect, it } from 'vitest';
import { explainClickHouseError, openClickHouse } from '../../storage/clickhouse/client.js';

describe('what the operator reads about ClickHouse', () => {
  it('names the setting when nobody listens', async () => {
    const clickhouse = openClickHouse({ url: 'http://127.0.0.1:1', timeoutS: 2 });
    const error = await clickhouse.rows('SELECT 1').catch((e: unknown) => e);
    expect(explainClickHouseError(error)).toMatch(/refuses connections.*CLICKHOUSE_URL/);
    await clickhouse.close();
  });

  it('names the setting when the host is unknown', async () => {
    const clickhouse = openClickHouse({ url: 'http://no-such-host.invalid:8123', timeoutS: 5 });
    const error = await clickhouse.rows('SELECT 1').catch((e: unknown) => e);
    expect(explainClickHouseError(error)).toMatch(/CLICKHOUSE_URL/);
    await clickhouse.close();
  });
});
