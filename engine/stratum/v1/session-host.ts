// What sessions and the thread they live in have of each other.
import type { NetworkName } from '../../bitcoin/networks.js';
import type { ShareTarget } from '../../shares/submission.js';
import type { ShareVerdict } from '../../work/verdict.js';
import type { BoardJob } from '../job-board.js';
import type { PortProfile } from '../port-profile.js';
import type { KeptSession } from '../resumption.js';
import type { UserName } from '../user-name.js';
import type { Session } from './session.js';
import type { PoolDifficulty } from './session-difficulty.js';

/** What a session needs of the thread it lives in. */
export interface SessionHost extends PoolDifficulty {
  readonly network: NetworkName;
  readonly extranonce2Bytes: number;
  /** Name and version of the pool software. */
  readonly software: string;
  /** Monotonic milliseconds. */
  nowMs(): number;
  currentJob(): BoardJob | null;
  findJob(id: string): BoardJob | undefined;
  leaseExtranonce1(): Uint8Array | null;
  /** Hands out the closed session of that id, with its extranonce1; null when none is kept. */
  takeClosedSession(id: string): KeptSession | null;
  /** Registers who submits in the journal. */
  defineIdentity(name: UserName, agent: string, remote: string, port: PortProfile): number;
  /** The difficulty this user last worked at; null when that is not known. */
  recallDifficulty(name: UserName): number | null;
  rememberDifficulty(name: UserName, difficulty: number): void;
  /** A session waits for a job that it was not sent yet. */
  needJob(): void;
  submitShare(session: Session, share: SessionShare, target: ShareTarget): void;
  refuseShare(session: Session, refusal: SessionRefusal, target: ShareTarget | null): void;
  /** A verdict that is answered but not journaled (the peer never proved to be a miner). */
  countUnjournaled(verdict: ShareVerdict): void;
  send(session: Session, line: string): void;
  /** A line that many sessions are sent: the same bytes for all. */
  sendShared(session: Session, line: Buffer): void;
  /** Something about miners of a kind that the operator should know; logged once for each text. */
  warnOnce(message: string): void;
  /** The first worker of the session is authorized. */
  authorized(session: Session): void;
  close(session: Session, reason: string): void;
}

export interface SessionShare {
  requestId: string;
  identity: number;
  job: BoardJob;
  extranonce2: Uint8Array;
  version: number;
  ntime: number;
  nonce: number;
  receivedUs: number;
}

export interface SessionRefusal {
  requestId: string;
  identity: number;
  job: BoardJob | undefined;
  verdict: ShareVerdict;
  ntime: number;
  nonce: number;
  receivedUs: number;
}
