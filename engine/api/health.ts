// /health: is the pool serving its miners, and if not, which part is the cause. For load balancers (200 or 503), for
// supervisors and for the operator's first look.
import type { ComponentSnapshot, MinerState, PipelineSnapshot, PoolSnapshot } from './snapshot.js';

/** `ok` and `degraded` serve (200), `starting` and `down` do not (503). */
export type HealthStatus = 'ok' | 'degraded' | 'starting' | 'down';

export interface HealthReport {
  status: HealthStatus;
  /** One sentence each: what is wrong now. Empty when the status is `ok`. */
  reasons: string[];
  /** When the coordinator looked last; null before its first report. */
  as_of: string | null;
  /** Seconds since then. */
  age_s: number | null;
  uptime_s: number | null;
  network: string | null;
  components: ComponentSnapshot[];
  stratum: PoolSnapshot['stratum'] | null;
  node: PoolSnapshot['node'] | null;
  /** Shares in the journal that a store does not hold yet. */
  journal: { bytes: number; last_seq: number; backlog: PipelineSnapshot[] } | null;
  miners: { account: string; workers: number; state: MinerState; age_s: number | null }[];
}

/** Missed updates after which the coordinator counts as hanging. */
const MISSED_UPDATES_MAX = 5;
const SILENCE_MIN_S = 10;

/**
 * @param snapshot the last one, null before the first
 * @param ageS seconds since it arrived, on the monotonic clock
 */
export function healthReport(snapshot: PoolSnapshot | null, ageS: number): HealthReport {
  if (snapshot === null) {
    return {
      status: 'starting',
      reasons: ['The pool is starting: its parts are being brought up.'],
      ...{
        as_of: null,
        age_s: null,
        uptime_s: null,
        network: null,
        stratum: null,
        node: null,
        journal: null,
      },
      components: [],
      miners: [],
    };
  }
  const reasons = snapshot.components
    .filter(({ state }) => state !== 'ok')
    .map(({ name, state, message }) => `${name} is ${state}${message === null ? '' : `: ${message}`}`);
  const silentAfterS = Math.max(SILENCE_MIN_S, MISSED_UPDATES_MAX * snapshot.update_interval_s);
  const hanging = ageS > silentAfterS;
  if (hanging) {
    reasons.unshift(
      `The coordinator has not reported for ${Math.round(ageS)} s: it hangs or is overloaded. Restart the pool.`,
    );
  }
  const asOfMs = Date.parse(snapshot.as_of);
  const secondsBefore = (time: string) => Math.max(0, Math.round((asOfMs - Date.parse(time)) / 1000 + ageS));
  return {
    status: hanging ? 'down' : statusOf(snapshot.components),
    reasons,
    as_of: snapshot.as_of,
    age_s: Math.round(ageS * 10) / 10,
    uptime_s: secondsBefore(snapshot.started_at),
    network: snapshot.network,
    components: snapshot.components,
    stratum: snapshot.stratum,
    node: snapshot.node,
    journal: {
      bytes: snapshot.journal.bytes,
      last_seq: snapshot.journal.last_seq,
      backlog: snapshot.pipelines,
    },
    miners: snapshot.miners.map(({ account, workers, state, last_share_at }) => ({
      ...{ account, workers, state },
      age_s: last_share_at === null ? null : secondsBefore(last_share_at),
    })),
  };
}

/** HTTP status that stands for it. */
export function healthHttpStatus(status: HealthStatus): 200 | 503 {
  return status === 'ok' || status === 'degraded' ? 200 : 503;
}

function statusOf(components: readonly ComponentSnapshot[]): HealthStatus {
  const essential = components.filter((component) => component.essential);
  if (essential.some(({ state }) => state === 'down')) return 'down';
  if (essential.some(({ state }) => state === 'starting')) return 'starting';
  return components.every(({ state }) => state === 'ok') ? 'ok' : 'degraded';
}
