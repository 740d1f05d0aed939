// The journals of one pool: each connection thread has one of its own, a lane, with its own node id, folder
// and sequence numbers. Called by the coordinator before any connection thread starts.
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { RoundCounter } from './round-counter.js';
import { JournalWriter } from './writer.js';

export interface JournalLane {
  nodeId: number;
  journalFolder: string;
}

/** A lane as its journal left off. */
export interface RecoveredLane extends JournalLane {
  /** False when no connection thread writes it any more. */
  running: boolean;
  nextSeq: number;
  acceptedTotal: number;
}

export interface RecoveredLanes {
  lanes: RecoveredLane[];
  /** At the highest round that any of the lanes has seen. */
  rounds: RoundCounter;
}

const FIRST_NODE_ID = 1;
const FIRST_FOLDER = 'journal';
const OTHER_FOLDER = /^journal-([1-9]\d{0,4})$/;
const NODE_ID_MAX = 0xffff;

/** Folder of lane `nodeId`: `journal` for node 1, which is a pool's only one by default, else `journal-N`. */
export function laneFolder(dataFolder: string, nodeId: number): string {
  return join(dataFolder, nodeId === FIRST_NODE_ID ? FIRST_FOLDER : `${FIRST_FOLDER}-${nodeId}`);
}

/** The lanes whose journals are in `dataFolder`, by node id. Reads only. */
export function findLanes(dataFolder: string): JournalLane[] {
  const nodeIds = existsSync(laneFolder(dataFolder, FIRST_NODE_ID)) ? [FIRST_NODE_ID] : [];
  if (existsSync(dataFolder)) {
    for (const name of readdirSync(dataFolder)) {
      const nodeId = Number(OTHER_FOLDER.exec(name)?.[1] ?? 0);
      if (nodeId > FIRST_NODE_ID && nodeId <= NODE_ID_MAX) nodeIds.push(nodeId);
    }
  }
  return nodeIds
    .sort((a, b) => a - b)
    .map((nodeId) => ({ nodeId, journalFolder: laneFolder(dataFolder, nodeId) }));
}

/**
 * Opens and ends every journal in `dataFolder`: those of node ids 1 to `running`, made when absent, and those
 * that earlier runs with more connection threads left. A torn tail is cut, what was committed is there for the
 * shipper to the last share, and the counter stands where no lane's rounds can fall.
 * @throws Error when the end of a journal is damaged.
 */
export function recoverLanes(dataFolder: string, running: number): RecoveredLanes {
  const rounds = new RoundCounter();
  const nodeIds = new Set(Array.from({ length: running }, (_, index) => FIRST_NODE_ID + index));
  mkdirSync(dataFolder, { recursive: true });
  for (const { nodeId } of findLanes(dataFolder)) nodeIds.add(nodeId);
  const lanes = [...nodeIds]
    .sort((a, b) => a - b)
    .map((nodeId): RecoveredLane => {
      const journalFolder = laneFolder(dataFolder, nodeId);
      const writer = new JournalWriter({ folder: journalFolder, nodeId, nowMs: () => 0, rounds });
      const { nextSeq, acceptedTotal } = writer;
      // A writer begins a segment, which ends the last batch of the one before.
      writer.close();
      return { nodeId, journalFolder, running: nodeId < FIRST_NODE_ID + running, nextSeq, acceptedTotal };
    });
  return { lanes, rounds };
}
