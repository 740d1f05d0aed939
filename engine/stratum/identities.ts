// Who submits, as the journal has it: an identity for each name of a session and each scheme it worked under. A share
// keeps the identity it was submitted under, so its scheme is fixed then; the journal is told of a change, no share is
// looked at twice. A scheme that comes back gets its identity back: a session has at most as many a name as there are.
import type { JournalIdentity } from '../../storage/journal/record.js';
import type { Scheme } from '../accounting/schemes.js';
import type { PortProfile } from './port-profile.js';
import type { SchemeChoice } from './scheme-choice.js';
import type { UserName } from './user-name.js';

/** What of the journal it needs. */
export interface IdentityBook {
  defineIdentity(id: number, identity: JournalIdentity): void;
  forgetIdentity(id: number): void;
}

interface Submitter {
  readonly name: UserName;
  readonly agent: string;
  readonly remote: string;
  readonly port: PortProfile;
  readonly ids: Map<Scheme, number>;
}

export class Identities {
  readonly #journal: IdentityBook;
  readonly #schemes: SchemeChoice;
  readonly #submitters = new Map<number, Submitter>();
  #next = 1;

  constructor(journal: IdentityBook, schemes: SchemeChoice) {
    this.#journal = journal;
    this.#schemes = schemes;
  }

  /** @returns the identity for shares that come now. */
  define(name: UserName, agent: string, remote: string, port: PortProfile): number {
    return this.#identityOf({ name, agent, remote, port, ids: new Map() });
  }

  /** Who that is; undefined when it was forgotten. */
  nameOf(id: number): UserName | undefined {
    return this.#submitters.get(id)?.name;
  }

  /** The identity for shares that come now from whom `id` was defined for. */
  current(id: number): number {
    const submitter = this.#submitters.get(id);
    if (submitter === undefined) throw new Error(`identity ${id} is not defined`);
    return this.#identityOf(submitter);
  }

  /** Forgets `id` and all others of the same name and session: no share of them is in flight. */
  forget(id: number): void {
    const submitter = this.#submitters.get(id);
    for (const each of submitter?.ids.values() ?? []) {
      this.#submitters.delete(each);
      this.#journal.forgetIdentity(each);
    }
  }

  #identityOf(submitter: Submitter): number {
    const { name, agent, remote, port, ids } = submitter;
    const scheme = this.#schemes.schemeOf(name.account, port.scheme ?? null);
    const known = ids.get(scheme);
    if (known !== undefined) return known;
    const id = this.#next++;
    ids.set(scheme, id);
    this.#submitters.set(id, submitter);
    const { account, worker } = name;
    this.#journal.defineIdentity(id, {
      ...{ account, worker, agent, remote, scheme },
      ...{ transport: port.kind, protocol: 'v1' },
    });
    return id;
  }
}
