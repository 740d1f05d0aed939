// What a lane delivers to. A sink is opened anew after every failure, so it holds no state that a failure
// could leave half done.
import type { JournalBatch, JournalPosition } from '../journal/batch.js';
import type { Consumer } from './messages.js';

/** Journal and store do not belong together. Delivering on would lose or double shares. */
export class JournalMismatchError extends Error {
  override readonly name = 'JournalMismatchError';
}

export interface SinkStart {
  /** Where to read on; null: at the oldest segment there is. */
  position: JournalPosition | null;
  /** Number of the share that must be found there; 0 when the store does not know. */
  nextSeq: number;
}

export interface Sink {
  readonly consumer: Consumer;
  /** Connects, brings the schema up to date and finds out how far the store is. */
  open(): Promise<SinkStart>;
  /**
   * Up to which number the batches behind `first` may be joined to it: its own last for none, Infinity for any that
   * wait, another number when exactly that cut was made before.
   */
  joinUpTo(first: JournalBatch): number;
  /** Told before a joined batch is delivered: whatever dies then, it will be cut the same. */
  keepCut(batch: JournalBatch): void;
  /**
   * When it returns, the batch is stored once and the cursor behind it is durable. A batch without shares
   * moves the cursor only.
   */
  deliver(batch: JournalBatch): Promise<void>;
  /** Everything that is in the journal now was delivered. Told again and again. */
  atEnd(): Promise<void>;
  /** Gives up connections at once, whatever they wait for. Must not throw. */
  close(): Promise<void>;
  /** One sentence for the operator: what happened, likely cause, what to do. */
  explain(error: unknown): string;
}
