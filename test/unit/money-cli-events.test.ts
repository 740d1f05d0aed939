// What the log says of Lightning payouts: one line each, with fields that a log store can search.
import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { reportEvent } from '../../engine/cli/event-report.js';
import { createLogger } from '../../engine/config/log.js';
import type { PoolEvent } from '../../engine/pool.js';
import type { LightningPayment } from '../../storage/postgres/lightning-payments.js';

const payment: LightningPayment = {
  ...{ id: 7n, requestKey: 'k', accountId: 3, account: 'farm', destination: 'farm@example.com' },
  ...{ amountSats: 20_100n, sentSats: 20_000n, maxFeeSats: 100n, feePayer: 'miner', status: 'sent' },
  ...{ failures: 0, due: true, onChainFallback: false, reason: '', preimage: null, feeMsat: null },
  attempt: null,
};

function logged(event: PoolEvent): Record<string, unknown>[] {
  let text = '';
  const output = new Writable({
    write(chunk: Buffer, _, done) {
      text += chunk.toString();
      done();
    },
  });
  reportEvent(event, createLogger({ level: 'debug', secretUrls: [], output, pretty: false }));
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

const WHAT = 'Lightning payment 7 of 20000 sat to farm';

it.each<[PoolEvent, string, string]>([
  [{ type: 'lightning_sent', payment, paymentHash: 'ab' }, 'debug', `${WHAT} is given to the node`],
  [{ type: 'lightning_paid', payment, feeMsat: 1n }, 'info', `${WHAT} arrived`],
  [
    { type: 'lightning_failed', payment, reason: 'no route', next: 'retry' },
    'warn',
    `${WHAT} failed: no route. It is tried again`,
  ],
  [
    { type: 'lightning_failed', payment, reason: 'no route', next: 'fallen_back' },
    'warn',
    `${WHAT} failed: no route. The account is paid on the chain instead`,
  ],
  [{ type: 'lightning_waiting', payment, reason: 'another node' }, 'warn', `${WHAT} waits: another node`],
  [{ type: 'lightning_node_down', reason: 'gone' }, 'error', 'Lightning payouts wait: gone'],
  [{ type: 'lightning_stalled', reason: 'gone' }, 'error', 'Lightning payouts wait for the ledger: gone'],
])('says %o', (event, level, message) => {
  const lines = logged(event);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatchObject({ event: event.type, msg: message });
  expect(String(lines[0]?.level)).toBe(level);
  if ('payment' in event) expect(lines[0]).toMatchObject({ payment: '7', account: 'farm', sats: '20000' });
});
