// Every request a miner may send except mining.submit, which goes the way of shares. A handler returns the result of
// the reply or throws a StratumError.
import type { Session } from '../session.js';
import { authorize } from './authorize.js';
import { configure } from './configure.js';
import { getTransactions } from './get-transactions.js';
import { subscribe } from './subscribe.js';
import { suggestDifficulty, suggestTarget } from './suggest.js';

type Handler = (session: Session, params: readonly unknown[]) => unknown;

export const METHODS: ReadonlyMap<string, Handler> = new Map<string, Handler>([
  ['mining.configure', configure],
  ['mining.subscribe', subscribe],
  ['mining.authorize', authorize],
  ['mining.suggest_difficulty', suggestDifficulty],
  ['mining.suggest_target', suggestTarget],
  ['mining.get_transactions', getTransactions],
  // The miner can follow mining.set_extranonce; the pool never moves an extranonce1, so it never sends one.
  ['mining.extranonce.subscribe', () => true],
  // Bitmain's version rolling of before BIP310. Its firmware rolls only once the pool sends the same message, which
  // this one does not: mining.configure is how versions are rolled here.
  ['mining.multi_version', () => true],
  ['mining.ping', () => 'pong'],
  ['mining.pong', () => true],
  ['client.get_version', (session) => session.software],
]);
