// Changing where an account is paid to, on the real Postgres with real signatures.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startPostgres } from '../../storage/embedded/postgres.js';
import { readAudit } from '../../storage/postgres/audit-log.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { migratePostgres } from '../../storage/postgres/migrate.js';
import {
  currentTargets,
  type PayoutAddressError,
  PayoutAddressStore,
  type PayoutAddressTerms,
  type PayoutTarget,
} from '../../storage/postgres/payout-addresses.js';
import { type KeyAddress, keyAddress } from '../fixtures/bip322-signer.js';

const folder = mkdtempSync(join(tmpdir(), 'millrace-payout-addresses-'));
let server: Awaited<ReturnType<typeof startPostgres>>;
let database: Database;
let counter = 0;

const owner = (): KeyAddress => {
  const secret = new Uint8Array(32).fill(2);
  new DataView(secret.buffer).setUint32(0, ++counter);
  return keyAddress(secret, 'p2wpkh', 'regtest');
};
const whole = (address: string): PayoutTarget[] => [{ address, sharePpm: 1_000_000 }];
const storeWith = (terms: Partial<PayoutAddressTerms> = {}) =>
  new PayoutAddressStore(database, { network: 'regtest', ...terms });

beforeAll(async () => {
  server = await startPostgres({ dataDir: join(folder, 'postgres'), log: () => {} });
  database = openPostgres({ url: server.url, poolSize: 8, timeoutS: 10 });
  await migratePostgres(database);
});

afterAll(async () => {
  await database?.end({ timeout: 1 });
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function addAccount(name: string, isAddress = true): Promise<number> {
  const [row] = await database<{ id: number }[]>`
    insert into accounts (name, is_address) values (${name}, ${isAddress}) returning id`;
  return row?.id as number;
}

const targetsNow = async (id: number) => (await database.begin((tx) => currentTargets(tx, [id]))).get(id);

let alice: KeyAddress;
let aliceId: number;
let store: PayoutAddressStore;

beforeEach(async () => {
  alice = owner();
  aliceId = await addAccount(alice.address);
  store = storeWith();
});

/** Asks for a change, signs it and hands it in. */
async function change(from: KeyAddress, targets: PayoutTarget[], by = store, account = alice.address) {
  const { text } = await by.askChange(account, targets);
  return await by.propose(account, from.signSimple(text));
}

describe('an account that set no address', () => {
  it('is paid to its name when that is an address, and else has no entry', async () => {
    const named = await addAccount(`farm${++counter}`, false);
    expect(await targetsNow(aliceId)).toEqual(whole(alice.address));
    const all = await database.begin((tx) => currentTargets(tx, [aliceId, named, 2 ** 31 - 1]));
    expect([...all.keys()]).toEqual([aliceId]);
    expect(await database.begin((tx) => currentTargets(tx, []))).toEqual(new Map());
  });

  it('gets its first from the operator when it has none, after the delay, with a row of the audit log', async () => {
    const name = `farm${++counter}`;
    const id = await addAccount(name, false);
    const [first, later] = [owner(), owner()];
    const authority = { actor: 'eva', reason: 'contract 17' };
    await expect(store.askChange(name, whole(first.address))).rejects.toThrow(
      'the operator names its first one',
    );
    await expect(store.nameFirst(name, whole(first.address), { actor: 'eva', reason: '' })).rejects.toThrow(
      'reason',
    );
    await storeWith({ delayMs: 0 }).nameFirst(name, whole(first.address), authority);
    expect(await targetsNow(id)).toEqual(whole(first.address));
    expect(await readAudit(database, 5, name)).toMatchObject([
      { ...authority, action: 'payout_address_change' },
    ]);
    await expect(store.nameFirst(name, whole(later.address), authority)).rejects.toThrow(
      'only a message signed with it',
    );
    await change(first, whole(later.address), storeWith({ delayMs: 0 }), name);
    expect(await targetsNow(id)).toEqual(whole(later.address));
  });
});

describe('a signed change', () => {
  it('takes effect after the delay, by the clock alone', async () => {
    const next = owner();
    const { effectiveAt, acceptedAt } = await change(alice, whole(next.address), storeWith({ delayMs: 700 }));
    expect(effectiveAt.getTime() - acceptedAt.getTime()).toBe(700);
    expect(await targetsNow(aliceId)).toEqual(whole(alice.address));
    await sleep(800);
    expect(await targetsNow(aliceId)).toEqual(whole(next.address));
    expect((await store.history(alice.address)).pending).toBeNull();
  });

  it('waits 48 hours by default, and says so to the owner', async () => {
    const next = owner();
    const { effectiveAt, acceptedAt } = await change(alice, whole(next.address));
    expect(effectiveAt.getTime() - acceptedAt.getTime()).toBe(48 * 3_600_000);
    const history = await store.history(alice.address);
    expect(history).toMatchObject({
      present: whole(alice.address),
      pending: { targets: whole(next.address) },
    });
    expect(history.notices).toHaveLength(1);
    expect(history.notices[0]?.text).toContain(next.address);
    expect(history.notices[0]?.text).toContain(effectiveAt.toISOString());
  });

  it('names account, addresses with shares, network, signer, nonce and expiry in one line', async () => {
    const [a, b] = [owner(), owner()];
    const { text, signer, expiresAt } = await store.askChange(alice.address, [
      { address: a.address, sharePpm: 333_333 },
      { address: b.address, sharePpm: 666_667 },
    ]);
    expect(signer).toBe(alice.address);
    expect(text).toMatch(
      new RegExp(
        `^Millrace: pay account "${alice.address}" on regtest to ${a.address} 33.3333 %, ${b.address} 66.6667 %\\. ` +
          `Signed with ${alice.address}\\. Nonce [0-9a-f]{32}\\. Valid until ${expiresAt?.toISOString()}\\.$`,
      ),
    );
  });

  it('is signed by the first of the present addresses', async () => {
    const [a, b, c] = [owner(), owner(), owner()];
    const now = storeWith({ delayMs: 0 });
    const split = [
      { address: a.address, sharePpm: 600_000 },
      { address: b.address, sharePpm: 400_000 },
    ];
    await change(alice, split, now);
    expect(await targetsNow(aliceId)).toEqual(split);
    await expect(change(alice, whole(c.address), now)).rejects.toThrow('another message or by another key');
    await expect(change(b, whole(c.address), now)).rejects.toThrow('another message or by another key');
    await change(a, whole(c.address), now);
    expect(await targetsNow(aliceId)).toEqual(whole(c.address));
    expect((await now.history(alice.address)).changes.map(({ targets }) => targets)).toEqual([
      whole(c.address),
      split,
    ]);
  });

  it('is refused by a stranger, for another account, twice, late, or when the address moved meanwhile', async () => {
    const [thief, next, bob] = [owner(), owner(), owner()];
    await addAccount(bob.address);
    const { text } = await store.askChange(alice.address, whole(next.address));
    await expect(store.propose(bob.address, alice.signSimple(text))).rejects.toThrow('waits for a signature');
    await store.propose(alice.address, alice.signSimple(text));
    await expect(store.propose(alice.address, alice.signSimple(text))).rejects.toThrow(
      'waits for a signature',
    );

    const brief = storeWith({ textValidMs: 1000 });
    const late = await brief.askChange(alice.address, whole(thief.address));
    await sleep(1100);
    await expect(brief.propose(alice.address, alice.signSimple(late.text))).rejects.toThrow('has expired');

    await expect(change(thief, whole(thief.address))).rejects.toThrow('another message or by another key');
    const stale = await store.askChange(alice.address, whole(thief.address));
    await change(alice, whole(next.address), storeWith({ delayMs: 0 }));
    await expect(store.propose(alice.address, alice.signSimple(stale.text))).rejects.toThrow('was made for');
    expect(await targetsNow(aliceId)).toEqual(whole(next.address));
  });

  it('is refused with a lock time, which would be valid later only', async () => {
    const [address, message, signature] = [
      '164P4mbDkPcyvRnFGAZd1ThjxSj7Fbsywz',
      'GI2SVNWVCWTEEIMFZFFZYAQNSA',
      'AgAAAAGEmHuloQANVIqnpMegGLNFKwAGE0Urv0a/uMiHnJ+FQwAAAABrSDBFAiEAr8VdqPCZU/oVqKKj2WwHfeCX/lzp+Rfk8d59cS9xdGECIAar0nievDdeVstmIgjfM7kzMepL6HrecBuJtgEitFxBASECzgU8WF30ffzpbdClcw/0NBkTCkuRbiEzr+CTXePjiPfgBwAAAQAAAAAAAAAAAWrgBwAA',
    ];
    const id = await addAccount(address);
    await database.begin(async (tx) => {
      const [row] = await tx<{ id: bigint }[]>`
        insert into payout_address_changes (account_id, nonce, network, message, signer_address, expires_at)
        values (${id}, ${'7'.repeat(32)}, 'mainnet', ${message}, ${address}, now() + interval '1 hour') returning id`;
      await tx`
        insert into payout_address_targets (change_id, position, address, share_ppm)
        values (${row?.id as bigint}, 0, ${address}, 1000000)`;
    });
    const mainnet = storeWith({ network: 'mainnet' });
    await expect(mainnet.propose(address, signature)).rejects.toThrow('valid at a later time only');
  });
});

describe('while a change waits', () => {
  it('only a newer one that is signed replaces it', async () => {
    const [a, b] = [owner(), owner()];
    const first = await change(alice, whole(a.address));
    await store.askChange(alice.address, whole(b.address));
    expect((await store.history(alice.address)).pending?.id).toBe(first.id);
    const second = await change(alice, whole(b.address));
    const { pending, changes, notices } = await store.history(alice.address);
    expect(pending?.id).toBe(second.id);
    expect(changes.map(({ id, status }) => [id, status])).toEqual([
      [second.id, 'accepted'],
      [first.id, 'replaced'],
    ]);
    expect(notices.map(({ kind }) => kind)).toEqual(['accepted', 'replaced', 'accepted']);
  });

  it('of several at the same time exactly one stays', async () => {
    const signatures: string[] = [];
    for (let i = 0; i < 8; i++) {
      const { text } = await store.askChange(alice.address, whole(owner().address));
      signatures.push(alice.signSimple(text));
    }
    await Promise.all(signatures.map((signature) => store.propose(alice.address, signature)));
    const { changes } = await store.history(alice.address);
    expect(changes.map(({ status }) => status).sort()).toEqual(['accepted', ...Array(7).fill('replaced')]);
  });

  it('the owner cancels it by a signature, for good', async () => {
    const [thief, next] = [owner(), owner()];
    await change(alice, whole(next.address), storeWith({ delayMs: 400 }));
    const { text, signer } = await store.askCancel(alice.address);
    expect(signer).toBe(alice.address);
    await expect(store.cancel(alice.address, thief.signSimple(text))).rejects.toThrow(
      'another message or by another key',
    );
    await store.cancel(alice.address, alice.signSimple(text));
    await sleep(500);
    expect(await targetsNow(aliceId)).toEqual(whole(alice.address));
    await expect(store.cancel(alice.address, alice.signSimple(text))).rejects.toThrow('nothing to cancel');
    expect((await readAudit(database, 5, alice.address)).map(({ action }) => action)).toEqual([
      'payout_address_cancelled',
      'payout_address_change',
    ]);

    // The signature of one cancellation cancels no other change.
    await change(alice, whole(next.address));
    await expect(store.cancel(alice.address, alice.signSimple(text))).rejects.toThrow('another message');
    const authority = { actor: 'eva', reason: 'owner called: key stolen' };
    await store.cancelByOperator(alice.address, authority);
    expect(await readAudit(database, 1, alice.address)).toMatchObject([authority]);
    expect((await store.history(alice.address)).pending).toBeNull();
  });

  it('and in effect it can be neither cancelled nor replaced', async () => {
    const next = owner();
    const { id } = await change(alice, whole(next.address), storeWith({ delayMs: 0 }));
    await expect(store.askCancel(alice.address)).rejects.toThrow('nothing to cancel');
    await expect(
      database`update payout_address_changes set status = 'cancelled', closed_at = now() where id = ${id}`,
    ).rejects.toThrow('in effect');
  });
});

describe('a request', () => {
  it.each<[string, () => PayoutTarget[], string]>([
    ['without addresses', () => [], '1 to 20 addresses'],
    [
      'with 21',
      () => Array.from({ length: 21 }, () => ({ address: owner().address, sharePpm: 47_619 })),
      '1 to 20',
    ],
    ['for 99 %', () => [{ address: owner().address, sharePpm: 990_000 }], 'sum to 99 %'],
    [
      'with a share of 0',
      () => [...whole(owner().address), { address: owner().address, sharePpm: 0 }],
      '0.0001 to 100',
    ],
    ['with half a ppm', () => [{ address: owner().address, sharePpm: 0.5 }], '0.0001 to 100'],
    ['for mainnet', () => whole('1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa'), 'the pool runs on regtest'],
    [
      'with one twice, in both cases',
      () => {
        const { address } = owner();
        return [
          { address, sharePpm: 500_000 },
          { address: address.toUpperCase(), sharePpm: 500_000 },
        ];
      },
      'named twice',
    ],
  ])('%s is refused', async (_, targets, message) => {
    await expect(store.askChange(alice.address, targets())).rejects.toThrow(message);
    await expect(store.askChange('nobody', whole(owner().address))).rejects.toThrow('never mined here');
  });

  it('folds upper case and keeps at most 20 open texts', async () => {
    const next = owner();
    const first = await store.askChange(alice.address, whole(next.address.toUpperCase()));
    expect(first.text).toContain(next.address);
    for (let i = 0; i < 20; i++) await store.askChange(alice.address, whole(next.address));
    const [row] = await database<{ open: number }[]>`
      select count(*)::integer as open from payout_address_changes where account_id = ${aliceId}`;
    expect(row?.open).toBe(20);
    const refused = store.propose(alice.address, alice.signSimple(first.text));
    await expect(refused).rejects.toThrow('another message');
    await refused.catch((error: PayoutAddressError) => expect(error).toBeInstanceOf(Error));
  });

  it('of any valid split is kept to the millionth', async () => {
    const now = storeWith({ delayMs: 0 });
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.integer({ min: 1, max: 999_999 }), { minLength: 0, maxLength: 19 }),
        async (cuts) => {
          const edges = [0, ...cuts.toSorted((x, y) => x - y), 1_000_000];
          const people = edges
            .slice(1)
            .map((edge, i) => ({ ...owner(), sharePpm: edge - (edges[i] as number) }));
          const account = owner();
          const id = await addAccount(account.address);
          const wanted = people.map(({ address, sharePpm }) => ({ address, sharePpm }));
          await change(account, wanted, now, account.address);
          expect(await targetsNow(id)).toEqual(wanted);
        },
      ),
      { seed: 8, numRuns: 15 },
    );
  });
});

describe('the database itself', () => {
  it('refuses to rewrite, delete or half-write a change', async () => {
    const next = owner();
    const { id } = await change(alice, whole(next.address));
    const other = owner().address;
    for (const forbidden of [
      database`update payout_address_targets set address = ${other} where change_id = ${id}`,
      database`delete from payout_address_targets where change_id = ${id}`,
      database`delete from payout_address_changes where id = ${id}`,
      database`update payout_address_changes set effective_at = now() where id = ${id}`,
      database`update payout_address_changes set signer_address = ${other} where id = ${id}`,
      database`update payout_address_notices set text = 'x' where change_id = ${id}`,
      database`insert into payout_address_targets values (${id}, 1, ${other}, 1)`,
      database`insert into payout_address_changes (account_id, nonce, network, message, expires_at)
        values (${aliceId}, ${'0'.repeat(32)}, 'regtest', 'x', now() + interval '1 hour')`,
    ]) {
      await expect(forbidden).rejects.toThrow();
    }
    expect((await store.history(alice.address)).pending).toMatchObject({ id, targets: whole(next.address) });
  });
});
