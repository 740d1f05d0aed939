// mining.configure, BIP310 (https://github.com/bitcoin/bips/blob/master/bip-0310.mediawiki). Every extension that was
// named is answered: what the pool does not have with `false`, none is ignored.
import { StratumError } from '../reply.js';
import type { Session } from '../session.js';

/** Bits miners may roll: BIP320. */
export const POOL_VERSION_MASK = 0x1fffe000;
const EXTENSIONS_MAX = 16;
const INFO_MAX_CHARACTERS = 256;
const MASK = /^[0-9a-fA-F]{1,8}$/;
/** Replies are written as Latin-1. */
const EXTENSION = /^[ -~]{1,64}$/;
const INFO = ['info.connection-url', 'info.hw-version', 'info.sw-version', 'info.hw-id'];

type Options = Readonly<Record<string, unknown>>;
type Reply = Map<string, unknown>;

export function configure(session: Session, params: readonly unknown[]): Record<string, unknown> {
  const [extensions, given] = params;
  if (!Array.isArray(extensions)) throw new StratumError(20, 'mining.configure needs a list of extensions');
  if (extensions.length > EXTENSIONS_MAX) throw new StratumError(20, 'Too many extensions');
  const options = (typeof given === 'object' && given !== null ? given : {}) as Options;
  const reply: Reply = new Map();
  for (const extension of extensions) {
    if (typeof extension !== 'string' || !EXTENSION.test(extension)) {
      throw new StratumError(20, 'Extension names are printable and have at most 64 characters');
    }
    switch (extension) {
      case 'version-rolling':
        rollVersions(session, options, reply);
        break;
      case 'minimum-difficulty':
        reply.set(extension, takeMinimum(session, options));
        break;
      case 'subscribe-extranonce':
        reply.set(extension, true);
        break;
      case 'info':
        reply.set(extension, takeInfo(session, options));
        break;
      default:
        reply.set(extension, false);
    }
  }
  return Object.fromEntries(reply);
}

function rollVersions(session: Session, options: Options, reply: Reply): void {
  const asked = options['version-rolling.mask'] ?? 'ffffffff';
  if (typeof asked !== 'string' || !MASK.test(asked)) {
    throw new StratumError(20, 'version-rolling.mask must be up to 8 hex digits');
  }
  const minBits = bitCountOption(options['version-rolling.min-bit-count'] ?? 0);
  if (minBits === null) {
    throw new StratumError(20, 'version-rolling.min-bit-count must be an integer from 0 to 32');
  }
  const mask = (Number.parseInt(asked, 16) & POOL_VERSION_MASK) >>> 0;
  const enough = mask !== 0 && bitCount(mask) >= minBits;
  session.negotiateVersionMask(enough ? mask : 0);
  reply.set('version-rolling', enough);
  if (enough) reply.set('version-rolling.mask', mask.toString(16).padStart(8, '0'));
}

/** The BIP types it as a mask (hex digits) and shows a number. */
function bitCountOption(value: unknown): number | null {
  const count = typeof value === 'string' && MASK.test(value) ? Number.parseInt(value, 16) : value;
  return typeof count === 'number' && Number.isInteger(count) && count >= 0 && count <= 32 ? count : null;
}

/** The BIP lets a miner set it again, and 0 takes it back. A result that is text says what is wrong. */
function takeMinimum(session: Session, options: Options): true | string {
  const value = options['minimum-difficulty.value'];
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
    return 'minimum-difficulty.value must be a number from 0 up';
  }
  session.setMinimumDifficulty('configured', value);
  return true;
}

/** Nothing of it is needed but a name for firmware that gives none in mining.subscribe. */
function takeInfo(session: Session, options: Options): true | string {
  for (const key of INFO) {
    const text = options[key];
    if (text !== undefined && (typeof text !== 'string' || text.length > INFO_MAX_CHARACTERS)) {
      return `${key} must be text of at most ${INFO_MAX_CHARACTERS} characters`;
    }
  }
  const softwareVersion = options['info.sw-version'];
  if (typeof softwareVersion === 'string') session.nameFirmware(softwareVersion);
  return true;
}

function bitCount(value: number): number {
  let count = 0;
  for (let rest = value; rest !== 0; rest &= rest - 1) count++;
  return count;
}
