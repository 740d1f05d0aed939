// What each path of the API answers. All but exports is read from the last snapshot that the coordinator sent, so a
// flood of requests cannot slow a share; exports ask ClickHouse, few at once (shares-export.ts).
import type { PoolMetrics } from '../metrics/pool-metrics.js';
import { healthHttpStatus, healthReport } from './health.js';
import type { Handler } from './http-front.js';
import type { PoolSnapshot } from './snapshot.js';
import type { WebPage } from './web-page.js';

const JSON_TYPE = 'application/json; charset=utf-8';

/** The last snapshot, its JSON made once, and its age. */
export class SnapshotHolder {
  #snapshot: PoolSnapshot | null = null;
  #json = '';
  #number = 0;
  #arrivedMs = 0;
  readonly #nowMs: () => number;
  /** Tells this run's answers from those of an earlier one. */
  readonly #run = Date.now().toString(36);

  /** @param nowMs monotonic milliseconds */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  get current(): PoolSnapshot | null {
    return this.#snapshot;
  }

  /** JSON text of the current snapshot. */
  get json(): string {
    return this.#json;
  }

  get etag(): string {
    return `"${this.#run}-${this.#number}"`;
  }

  /** Seconds since the current snapshot arrived, 0 before the first. */
  get ageS(): number {
    return this.#snapshot === null ? 0 : (this.#nowMs() - this.#arrivedMs) / 1000;
  }

  set(snapshot: PoolSnapshot): void {
    this.#snapshot = snapshot;
    this.#json = `${JSON.stringify(snapshot)}\n`;
    this.#number++;
    this.#arrivedMs = this.#nowMs();
  }
}

/** Handlers by path. */
export function apiRoutes(
  holder: SnapshotHolder,
  metrics: PoolMetrics,
  page: WebPage,
  sharesExport: Handler,
): Map<string, Handler> {
  const stats: Handler = () => {
    const { current } = holder;
    if (current === null) {
      const detail = 'The pool has not reported yet. Ask again in a second.';
      return { problem: 'starting', detail, headers: { 'Retry-After': '1' } };
    }
    const maxAgeS = Math.floor(current.update_interval_s);
    return {
      status: 200,
      contentType: JSON_TYPE,
      cacheControl: maxAgeS > 0 ? `max-age=${maxAgeS}` : 'no-cache',
      body: holder.json,
      etag: holder.etag,
    };
  };
  const health: Handler = () => {
    const report = healthReport(holder.current, holder.ageS);
    return {
      status: healthHttpStatus(report.status),
      contentType: JSON_TYPE,
      cacheControl: 'no-store',
      body: `${JSON.stringify(report)}\n`,
    };
  };
  const scrape: Handler = async () => ({
    status: 200,
    contentType: metrics.contentType,
    cacheControl: 'no-store',
    body: await metrics.text(holder.ageS),
  });
  const html: Handler = () => ({
    status: 200,
    contentType: 'text/html; charset=utf-8',
    cacheControl: 'no-cache',
    body: page.html,
    etag: page.etag,
    headers: { 'Content-Security-Policy': page.contentSecurityPolicy, 'Referrer-Policy': 'no-referrer' },
  });
  return new Map([
    ['/', html],
    ['/api/stats', stats],
    ['/api/v1/shares/export', sharesExport],
    ['/health', health],
    ['/metrics', scrape],
  ]);
}
