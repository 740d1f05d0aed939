// One log line for each event of the pool: what an operator reads, and what a log store can search by its fields.

import type { LightningPayment } from '../../storage/postgres/lightning-payments.js';
import type { Payout } from '../../storage/postgres/payout-store.js';
import type { Logger } from '../config/log.js';
import type { PoolEvent } from '../pool.js';
import { btc } from './live-line.js';

export function reportEvent(event: PoolEvent, log: Logger): void {
  switch (event.type) {
    case 'block_found': {
      const { type: _, ...facts } = event;
      const text = `block ${event.height} found by ${event.account}${event.worker === '' ? '' : `.${event.worker}`}: ${event.status}`;
      if (event.status === 'accepted') log.info({ event: event.type, ...facts }, text);
      else log.warn({ event: event.type, ...facts }, `${text} (${event.reason})`);
      return;
    }
    case 'block_credited':
    case 'block_confirmed': {
      const { height, hash } = event.block;
      const text = event.type === 'block_credited' ? 'credited, immature' : 'matured, balances are confirmed';
      log.debug({ event: event.type, height, hash }, `block ${height} ${text}`);
      return;
    }
    case 'block_orphaned': {
      const { height, hash, status } = event.block;
      const what = status === 'candidate' ? 'another block took its place' : 'its credit is reversed';
      log.warn({ event: event.type, height, hash }, `block ${height} is orphaned: ${what}`);
      return;
    }
    case 'block_rejected': {
      const { height, hash } = event.block;
      log.warn({ event: event.type, height, hash }, `block ${height} is rejected: ${event.reason}`);
      return;
    }
    case 'expected_paid': {
      const facts = { sats: String(event.totalSats), shares: String(event.shares), accounts: event.accounts };
      log.debug(
        { event: event.type, ...facts },
        `${event.accounts} account(s) paid for ${event.shares} shares`,
      );
      return;
    }
    case 'expected_pay_short':
      log.error(
        { event: event.type, owedSats: String(event.owedSats), reserveSats: String(event.reserveSats) },
        `the reserve holds ${btc(String(event.reserveSats))} BTC and owes ${btc(String(event.owedSats))}: expected pay waits. ` +
          'Add to it with `millrace ledger fund`',
      );
      return;
    case 'reserve_mode':
      log[event.mode === 'fall_back' ? 'warn' : 'info'](
        { event: event.type, mode: event.mode },
        event.announcement,
      );
      return;
    case 'fee_average_waits':
      log.warn(
        { event: event.type, epoch: event.epoch },
        `average fees for FPPS are missing: ${event.reason}`,
      );
      return;
    case 'sweep': {
      const { id, status, sentSats, txid } = event.sweep;
      const facts = { sweep: String(id), status, txid, sats: String(sentSats) };
      log.info({ event: event.type, ...facts }, `${btc(String(sentSats))} BTC to the cold wallet: ${status}`);
      return;
    }
    case 'payout_quarantined':
      log.warn(
        { event: event.type, account: event.account, address: event.address },
        `${event.address} of ${event.account} is not paid until it is released: ${event.reason}`,
      );
      return;
    case 'payout_waiting':
      log.warn(
        { event: event.type, payout: String(event.payout.id) },
        `payout ${event.payout.id} waits: ${event.reason}`,
      );
      return;
    case 'payout_needs_approval':
      log.warn(
        { event: event.type, ...payoutFacts(event.payout) },
        `${payoutText(event.payout)} waits for approval: millrace payout approve ${event.payout.id}`,
      );
      return;
    case 'payout_needs_signatures':
      log.warn(
        { event: event.type, ...payoutFacts(event.payout) },
        `${payoutText(event.payout)} waits for signatures: millrace payout psbt ${event.payout.id}`,
      );
      return;
    case 'payout_bumped':
      log.info(
        { event: event.type, ...payoutFacts(event.payout), replaced: event.replaced },
        `${payoutText(event.payout)} is replaced at a higher fee, ${event.networkFeeSats} sats`,
      );
      return;
    case 'lightning_sent':
      log.debug(
        { event: event.type, ...lightningFacts(event.payment), paymentHash: event.paymentHash },
        `${lightningText(event.payment)} is given to the node`,
      );
      return;
    case 'lightning_paid':
      log.info(
        { event: event.type, ...lightningFacts(event.payment), feeMsat: String(event.feeMsat) },
        `${lightningText(event.payment)} arrived`,
      );
      return;
    case 'lightning_failed':
      log.warn(
        { event: event.type, ...lightningFacts(event.payment), next: event.next },
        `${lightningText(event.payment)} failed: ${event.reason}. ` +
          (event.next === 'retry' ? 'It is tried again' : 'The account is paid on the chain instead'),
      );
      return;
    case 'lightning_waiting':
      log.warn(
        { event: event.type, ...lightningFacts(event.payment) },
        `${lightningText(event.payment)} waits: ${event.reason}`,
      );
      return;
    case 'lightning_node_down':
      log.error({ event: event.type }, `Lightning payouts wait: ${event.reason}`);
      return;
    case 'lightning_stalled':
      log.error({ event: event.type }, `Lightning payouts wait for the ledger: ${event.reason}`);
      return;
    case 'payout_signed':
      log.debug({ event: event.type, ...payoutFacts(event.payout) }, `${payoutText(event.payout)} signed`);
      return;
    case 'payout_broadcast':
    case 'payout_confirmed': {
      const state = event.type === 'payout_broadcast' ? 'broadcast' : 'confirmed';
      log.info({ event: event.type, ...payoutFacts(event.payout) }, `${payoutText(event.payout)} ${state}`);
    }
  }
}

function satsOf({ outputs }: Payout): string {
  return outputs.reduce((sum, output) => sum + output.sentSats, 0n).toString();
}

function payoutText(payout: Payout): string {
  return `payout ${payout.id} of ${btc(satsOf(payout))} BTC to ${payout.outputs.length} miner(s)`;
}

function payoutFacts(payout: Payout): Record<string, unknown> {
  return {
    payout: String(payout.id),
    txid: payout.txid,
    sats: satsOf(payout),
    payees: payout.outputs.length,
  };
}

function lightningText({ id, sentSats, account }: LightningPayment): string {
  return `Lightning payment ${id} of ${sentSats} sat to ${account}`;
}

function lightningFacts({ id, account, sentSats }: LightningPayment): Record<string, unknown> {
  return { payment: String(id), account, sats: String(sentSats) };
}
