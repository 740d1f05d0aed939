// The program of the API thread (a worker_thread): HTTP on uWebSockets.js, fed by snapshots of the coordinator. It owns
// no socket of a miner and writes to no database, so nothing that is asked of it can hold up a share.
import { performance } from 'node:perf_hooks';
import { parentPort, workerData } from 'node:worker_threads';
import { PoolMetrics } from '../metrics/pool-metrics.js';
import { loadUws } from '../uws.js';
import { serveRoutes } from './http-front.js';
import { listenOnFreePort } from './listen.js';
import { apiRoutes, SnapshotHolder } from './routes.js';
import { SharesExport } from './shares-export.js';
import type { ApiThreadSettings, FromApiThread, ToApiThread } from './thread-messages.js';
import { loadWebPage } from './web-page.js';

const PORTS_TRIED = 20;

if (parentPort === null) throw new Error('api-thread.js is a worker thread of the pool, not a program');
const parent = parentPort;
const settings = workerData as ApiThreadSettings;
const post = (message: FromApiThread): void => parent.postMessage(message);
const nowMs = (): number => performance.now();

async function serve(): Promise<void> {
  const { uws, library } = loadUws();
  const metrics = new PoolMetrics();
  const holder = new SnapshotHolder(nowMs);
  const exporting = new SharesExport(settings.clickhouse ?? null);
  const app = uws.App();
  serveRoutes(app, {
    routes: apiRoutes(holder, metrics, loadWebPage(), exporting.handler),
    nowMs,
    onAnswered: (route, method, status, durationS) => metrics.httpAnswered(route, method, status, durationS),
    onError: (error, { path, requestId }) =>
      post({
        type: 'log',
        level: 'error',
        message: 'an API handler failed',
        fields: { path, request_id: requestId, error: error instanceof Error ? error.stack : String(error) },
      }),
  });
  const { host, port: wanted, portsTried = PORTS_TRIED } = settings;
  const { socket, port } = await listenOnFreePort(uws, app, host, wanted, portsTried);

  parent.on('message', (message: ToApiThread) => {
    switch (message.type) {
      case 'snapshot':
        holder.set(message.snapshot);
        metrics.update(message.snapshot);
        break;
      case 'block_submitted':
        metrics.blockSubmitted(message.result, message.durationS);
        break;
      case 'stop':
        uws.us_listen_socket_close(socket);
        // Other replies are made within one turn of the event loop; exports in flight are cut.
        setImmediate(() => {
          app.close();
          void exporting.close();
          post({ type: 'stopped' });
          parent.close();
        });
        break;
    }
  });
  post({ type: 'listening', host, port, library });
}

serve().catch((error: unknown) => {
  post({ type: 'failed', reason: error instanceof Error ? error.message : String(error) });
  parent.close();
});
