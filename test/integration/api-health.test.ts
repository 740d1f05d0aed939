// What /health concludes from a snapshot, at times a running pool would take minutes to reach.
import { describe, expect, it } from 'vitest';
import { healthHttpStatus, healthReport } from '../../engine/api/health.js';
import { loadWebPage } from '../../engine/api/web-page.js';
import { sampleSnapshot } from './api-sample-snapshot.js';

describe('health', () => {
  it('is down when the coordinator has fallen silent, whatever its last words were', () => {
    const fresh = healthReport(sampleSnapshot(), 9.9);
    expect([fresh.status, fresh.reasons]).toEqual(['ok', []]);
    const silent = healthReport(sampleSnapshot(), 10.1);
    expect(silent.status).toBe('down');
    expect(silent.reasons[0]).toMatch(
      /^The coordinator has not reported for 10 s: it hangs or is overloaded\./,
    );
    expect(healthHttpStatus(silent.status)).toBe(503);
  });

  it('waits for five updates where updates are rare', () => {
    const rare = sampleSnapshot({ update_interval_s: 60 });
    expect(healthReport(rare, 299).status).toBe('ok');
    expect(healthReport(rare, 301).status).toBe('down');
  });

  it('counts ages on from the snapshot', () => {
    const report = healthReport(sampleSnapshot(), 7);
    expect(report.miners[0]?.age_s).toBe(12);
    expect(report.uptime_s).toBe(1807);
  });

  it('serves on while a part that miners do not need is down', () => {
    const components = sampleSnapshot().components.map(
      (part) => ({ ...part, state: part.essential ? 'ok' : 'down' }) as const,
    );
    const report = healthReport(sampleSnapshot({ components }), 0);
    expect(report.status).toBe('degraded');
    expect(healthHttpStatus(report.status)).toBe(200);
  });
});

describe('the page', () => {
  it('asks for nothing but the statistics', () => {
    const { html } = loadWebPage();
    expect(html.match(/fetch\([^)]*/g)).toEqual([
      "fetch('/api/stats', { cache: 'no-cache', signal: AbortSignal.timeout(10000",
    ]);
    expect(html).not.toMatch(/\son\w+=|style="|<script src|<link rel="stylesheet"/);
  });
});
