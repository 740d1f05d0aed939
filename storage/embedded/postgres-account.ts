// Which user PostgreSQL runs as. It refuses root; started by root it gets the account `nobody`, or the owner
// of a data folder that an ordinary user made, and no user is added to the machine.
import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/** Undefined ids: ours, there is no one else to become. */
export interface ServerAccount {
  uid?: number;
  gid?: number;
}

const NOBODY = 65_534;

/**
 * Account for the server of `clusterDir` (which need not exist yet).
 * Throws when the folder belongs to another user whom we may not become.
 */
export function chooseServerAccount(clusterDir: string): ServerAccount {
  const ourUid = process.getuid?.();
  const owner = statSync(clusterDir, { throwIfNoEntry: false });
  if (ourUid !== 0) {
    if (owner !== undefined && ourUid !== undefined && owner.uid !== ourUid) {
      throw new Error(
        `The PostgreSQL data in ${clusterDir} belongs to user id ${owner.uid}, we are ${ourUid}: an earlier ` +
          'start was made by another user (as root, PostgreSQL runs as "nobody"). ' +
          'Start as that user or as root, or set DATA_DIR to another folder',
      );
    }
    return {};
  }
  if (process.platform !== 'linux') {
    throw new Error(
      'PostgreSQL does not run as root here. Start Millrace as an ordinary user, or set DATABASE_URL',
    );
  }
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  return { uid: NOBODY, gid: NOBODY };
}

/** True when that account may pass through every folder down to and into `folder`, by their permission bits. */
export function canTraverse(account: ServerAccount, folder: string): boolean {
  if (account.uid === undefined) return true;
  for (let path = resolve(folder); ; path = dirname(path)) {
    const { mode, uid, gid } = statSync(path);
    const execute = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & execute) === 0) return false;
    if (path === dirname(path)) return true;
  }
}
