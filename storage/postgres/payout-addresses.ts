// Where each account is paid to, and how that changes: a text is signed with the present address, then comes a delay
// with a notice in which the owner may cancel, then the new addresses hold, by the clock. What was reserved for the old
// ones stays theirs. Called by payout planning (`currentTargets`) and `millrace account`.
import { randomBytes } from 'node:crypto';
import { verifyMessage } from '../../engine/bitcoin/message-signature.js';
import type { NetworkName } from '../../engine/bitcoin/networks.js';
import { type Authority, writeAudit } from './audit-log.js';
import type { Database, Transaction } from './connection.js';
import {
  type AcceptedChange,
  type Account,
  close,
  currentTargets,
  findAccount,
  findPending,
  firstAddress,
  lockAccount,
  notify,
  PayoutAddressError,
  requirePending,
  requireSigner,
  targetsOf,
} from './payout-address-rows.js';
import {
  cancelText,
  changeText,
  checkTargets,
  describeTargets,
  type PayoutTarget,
} from './payout-address-text.js';

export { type AcceptedChange, currentTargets, PayoutAddressError } from './payout-address-rows.js';
export type { PayoutTarget } from './payout-address-text.js';

export interface PayoutAddressTerms {
  network: NetworkName;
  /** From acceptance until a change holds. */
  delayMs?: number;
  /** How long a text can be signed. */
  textValidMs?: number;
}

export interface TextToSign {
  /** One line, to be signed exactly as it is. */
  text: string;
  signer: string;
  /** Null for a cancellation: good until the change takes effect. */
  expiresAt: Date | null;
}

export interface PayoutAddressHistory {
  /** Where the account is paid to now; null: nowhere, it has neither an address nor one for a name. */
  present: PayoutTarget[] | null;
  /** Accepted and not yet in effect. */
  pending: AcceptedChange | null;
  /** Accepted changes, newest first, whatever became of them. */
  changes: (AcceptedChange & { status: 'accepted' | 'replaced' | 'cancelled'; closedAt: Date | null })[];
  /** Newest first. */
  notices: { kind: string; text: string; createdAt: Date }[];
}

const HOUR_MS = 3_600_000;
const DELAY_MS = 48 * HOUR_MS;
const DELAY_MS_MAX = 90 * 24 * HOUR_MS;
const TEXT_VALID_MS = 24 * HOUR_MS;
const TEXT_VALID_MS_MIN = 1000;
const TEXT_VALID_MS_MAX = 7 * 24 * HOUR_MS;
/** Texts of one account that wait for a signature; the oldest makes room. */
const OPEN_TEXTS_MAX = 20;
const HISTORY_ROWS = 20;

export class PayoutAddressStore {
  readonly #database: Database;
  readonly #network: NetworkName;
  readonly #delayMs: number;
  readonly #textValidMs: number;

  /** Throws RangeError on a delay above 90 days or a validity outside 1 s to 7 days. */
  constructor(
    database: Database,
    { network, delayMs = DELAY_MS, textValidMs = TEXT_VALID_MS }: PayoutAddressTerms,
  ) {
    if (!Number.isSafeInteger(delayMs) || delayMs < 0 || delayMs > DELAY_MS_MAX) {
      throw new RangeError(`the delay of an address change must be 0 to ${DELAY_MS_MAX} ms, not ${delayMs}`);
    }
    if (
      !Number.isSafeInteger(textValidMs) ||
      textValidMs < TEXT_VALID_MS_MIN ||
      textValidMs > TEXT_VALID_MS_MAX
    ) {
      throw new RangeError(
        `a text must be valid for ${TEXT_VALID_MS_MIN} to ${TEXT_VALID_MS_MAX} ms, not ${textValidMs}`,
      );
    }
    this.#database = database;
    this.#network = network;
    this.#delayMs = delayMs;
    this.#textValidMs = textValidMs;
  }

  /** A text for the owner of `account` to sign, good for one change to `targets`. Throws PayoutAddressError. */
  async askChange(account: string, targets: readonly PayoutTarget[]): Promise<TextToSign> {
    const wanted = this.#check(targets);
    return await this.#database.begin(async (tx) => {
      const owner = await lockAccount(tx, account);
      const signer = requireSigner(owner, await firstAddress(tx, owner));
      await tx`
        delete from payout_address_changes
        where account_id = ${owner.id} and status = 'asked' and (expires_at <= clock_timestamp() or id not in (
          select id from payout_address_changes where account_id = ${owner.id} and status = 'asked'
          order by id desc limit ${OPEN_TEXTS_MAX - 1}))`;
      const { text, expiresAt } = await this.#insert(tx, owner, wanted, signer);
      return { text, signer, expiresAt };
    });
  }

  /**
   * Accepts the change whose text `signature` signs; it holds after the delay. A change that waits is replaced.
   * Throws PayoutAddressError when no text is open or the signature fits none.
   */
  async propose(account: string, signature: string): Promise<AcceptedChange> {
    return await this.#database.begin(async (tx) => {
      const owner = await lockAccount(tx, account);
      const signer = requireSigner(owner, await firstAddress(tx, owner));
      const open = await tx<{ id: bigint; message: string; signer: string | null }[]>`
        select id, message, signer_address as signer from payout_address_changes
        where account_id = ${owner.id} and status = 'asked' and network = ${this.#network}
          and expires_at > clock_timestamp()
        order by id desc limit ${OPEN_TEXTS_MAX}`;
      if (open.length === 0) {
        throw new PayoutAddressError(
          `no text of account ${account} waits for a signature: it has expired or was never asked for. Ask for a new one`,
        );
      }
      // A text names the address that signs it: one made for a former address is void.
      const current = open.filter((one) => one.signer === signer);
      let why = `the text was made for ${open[0]?.signer}, the account is paid to ${signer} since. Ask for a new one`;
      // Oldest first: what is told is what is wrong with the newest.
      for (const { id, message } of current.toReversed()) {
        const verdict = this.#verify(signer, message, signature);
        if ('kind' in verdict) {
          return await this.#accept(tx, owner, id, { signature, kind: verdict.kind }, byOwner(signer));
        }
        why = `the signature does not fit the text to be signed with ${signer}: ${verdict.why}`;
      }
      throw new PayoutAddressError(why);
    });
  }

  /**
   * The operator names the addresses of an account that has none, so that nobody could sign; after the delay as well.
   * Throws PayoutAddressError when the account has one, RangeError without actor or reason.
   */
  async nameFirst(
    account: string,
    targets: readonly PayoutTarget[],
    authority: Authority,
  ): Promise<AcceptedChange> {
    const wanted = this.#check(targets);
    return await this.#database.begin(async (tx) => {
      const owner = await lockAccount(tx, account);
      const signer = await firstAddress(tx, owner);
      if (signer !== null) {
        throw new PayoutAddressError(
          `account ${account} is paid to ${signer}: only a message signed with it changes that`,
        );
      }
      const { id } = await this.#insert(tx, owner, wanted, null);
      return await this.#accept(tx, owner, id, null, authority);
    });
  }

  /** The text whose signature cancels the change that waits. Throws PayoutAddressError when none does. */
  async askCancel(account: string): Promise<TextToSign> {
    return await this.#database.begin(async (tx) => {
      const owner = await lockAccount(tx, account);
      const { nonce } = await requirePending(tx, owner);
      const signer = requireSigner(owner, await firstAddress(tx, owner));
      return { text: cancelText(owner.name, this.#network, nonce, signer), signer, expiresAt: null };
    });
  }

  /** Cancels the change that waits, for its owner's signature. Throws PayoutAddressError. */
  async cancel(account: string, signature: string): Promise<AcceptedChange> {
    return await this.#database.begin(async (tx) => {
      const owner = await lockAccount(tx, account);
      const pending = await requirePending(tx, owner);
      const signer = requireSigner(owner, await firstAddress(tx, owner));
      const verdict = this.#verify(
        signer,
        cancelText(owner.name, this.#network, pending.nonce, signer),
        signature,
      );
      if ('why' in verdict) {
        throw new PayoutAddressError(
          `the signature does not fit the text to be signed with ${signer}: ${verdict.why}`,
        );
      }
      await close(tx, owner, pending, 'cancelled', byOwner(signer), { signature });
      return pending;
    });
  }

  /** Cancels the change that waits without a signature: the account stays as it is. Throws as `cancel`. */
  async cancelByOperator(account: string, authority: Authority): Promise<AcceptedChange> {
    return await this.#database.begin(async (tx) => {
      const owner = await lockAccount(tx, account);
      const pending = await requirePending(tx, owner);
      await close(tx, owner, pending, 'cancelled', authority, {});
      return pending;
    });
  }

  /** Present targets, the change that waits, and the newest changes and notices. Throws PayoutAddressError. */
  async history(account: string): Promise<PayoutAddressHistory> {
    return await this.#database.begin(async (tx) => {
      const owner = await findAccount(tx, account);
      const present = (await currentTargets(tx, [owner.id])).get(owner.id) ?? null;
      const changes = await tx<Omit<PayoutAddressHistory['changes'][number], 'targets'>[]>`
        select id, status, accepted_at as "acceptedAt", effective_at as "effectiveAt", closed_at as "closedAt"
        from payout_address_changes where account_id = ${owner.id} and status <> 'asked'
        order by id desc limit ${HISTORY_ROWS}`;
      const notices = await tx<PayoutAddressHistory['notices']>`
        select kind, text, created_at as "createdAt" from payout_address_notices
        where account_id = ${owner.id} order by id desc limit ${HISTORY_ROWS}`;
      const withTargets = [];
      for (const change of changes) withTargets.push({ ...change, targets: await targetsOf(tx, change.id) });
      return { present, pending: await findPending(tx, owner), changes: withTargets, notices: [...notices] };
    });
  }

  #check(targets: readonly PayoutTarget[]): PayoutTarget[] {
    try {
      return checkTargets(targets, this.#network);
    } catch (error) {
      throw new PayoutAddressError((error as Error).message);
    }
  }

  #verify(address: string, message: string, signature: string): { kind: string } | { why: string } {
    const verdict = verifyMessage({ address, network: this.#network, message, signature });
    if (!verdict.valid) return { why: verdict.why };
    if (verdict.lockTime !== 0 || verdict.sequence !== 0) {
      return { why: 'it is valid at a later time only (lock time or sequence); sign without' };
    }
    return { kind: verdict.kind };
  }

  async #insert(tx: Transaction, owner: Account, targets: readonly PayoutTarget[], signer: string | null) {
    const nonce = randomBytes(16).toString('hex');
    const [clock] = await tx<{ expiresAt: Date }[]>`
      select date_trunc('milliseconds', clock_timestamp())
        + ${this.#textValidMs}::float8 * interval '1 millisecond' as "expiresAt"`;
    if (clock === undefined) throw new Error('Postgres returned no time');
    const { expiresAt } = clock;
    const text = changeText({
      account: owner.name,
      network: this.#network,
      targets,
      signer,
      nonce,
      expiresAt,
    });
    const [row] = await tx<{ id: bigint }[]>`
      insert into payout_address_changes (account_id, nonce, network, message, signer_address, expires_at)
      values (${owner.id}, ${nonce}, ${this.#network}, ${text}, ${signer}, ${expiresAt}) returning id`;
    if (row === undefined) throw new Error('Postgres returned no id of the change');
    await tx`
      insert into payout_address_targets (change_id, position, address, share_ppm)
      select ${row.id}, place - 1, address, ppm
      from unnest(${targets.map(({ address }) => address)}::text[],
                  ${targets.map(({ sharePpm }) => sharePpm)}::integer[])
        with ordinality as wanted (address, ppm, place)`;
    return { id: row.id, text, expiresAt };
  }

  async #accept(
    tx: Transaction,
    owner: Account,
    id: bigint,
    signed: { signature: string; kind: string } | null,
    authority: Authority,
  ): Promise<AcceptedChange> {
    const before = await findPending(tx, owner);
    if (before !== null) await close(tx, owner, before, 'replaced', authority, { by: id });
    const [row] = await tx<{ acceptedAt: Date; effectiveAt: Date }[]>`
      update payout_address_changes set status = 'accepted', signature = ${signed?.signature ?? null},
        signature_kind = ${signed?.kind ?? null}, accepted_at = c.now,
        effective_at = c.now + ${this.#delayMs}::float8 * interval '1 millisecond'
      from (select clock_timestamp() as now) c
      where id = ${id} returning accepted_at as "acceptedAt", effective_at as "effectiveAt"`;
    if (row === undefined) throw new Error(`change ${id} is gone`);
    const change = { id, targets: await targetsOf(tx, id), ...row };
    const from = row.effectiveAt.toISOString();
    await notify(
      tx,
      owner,
      id,
      'accepted',
      `From ${from} on account ${owner.name} is paid to ${describeTargets(change.targets)}. If this is not your wish, cancel it before.`,
    );
    await writeAudit(tx, {
      ...authority,
      action: 'payout_address_change',
      subject: owner.name,
      inputs: { change: id, targets: change.targets, effectiveAt: from, ...signed },
    });
    return change;
  }
}

function byOwner(signer: string): Authority {
  return { actor: `owner of ${signer}`, reason: 'signed message' };
}
