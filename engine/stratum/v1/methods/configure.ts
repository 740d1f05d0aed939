// mining.configure, BIP310 (https://github.com/bitcoin/bips/blob/master/bip-0310.mediawiki).
import { StratumError } from '../reply.js';
import type { Session } from '../session.js';

/** Bits miners may roll: BIP320. */
export const POOL_VERSION_MASK = 0x1fffe000;
const EXTENSIONS_MAX = 16;
const MASK = /^[0-9a-fA-F]{1,8}$/;

/** Negotiates version rolling; every extension we do not have is answered `false`, none is ignored. */
export function configure(session: Session, params: readonly unknown[]): Record<string, unknown> {
  const [extensions, options] = params;
  if (!Array.isArray(extensions)) throw new StratumError(20, 'mining.configure needs a list of extensions');
  if (extensions.length > EXTENSIONS_MAX) throw new StratumError(20, 'Too many extensions');
  const settings = (typeof options === 'object' && options !== null ? options : {}) as Record<
    string,
    unknown
  >;
  const reply: Record<string, unknown> = {};
  for (const extension of extensions) {
    if (typeof extension !== 'string' || extension.length > 64) {
      throw new StratumError(20, 'Extension names are strings of at most 64 characters');
    }
    if (extension !== 'version-rolling') {
      reply[extension] = false;
      continue;
    }
    const asked = settings['version-rolling.mask'] ?? 'ffffffff';
    if (typeof asked !== 'string' || !MASK.test(asked)) {
      throw new StratumError(20, 'version-rolling.mask must be up to 8 hex digits');
    }
    const mask = (Number.parseInt(asked, 16) & POOL_VERSION_MASK) >>> 0;
    const minBits = settings['version-rolling.min-bit-count'] ?? 0;
    if (typeof minBits !== 'number' || !Number.isInteger(minBits) || minBits < 0 || minBits > 32) {
      throw new StratumError(20, 'version-rolling.min-bit-count must be an integer from 0 to 32');
    }
    const enough = mask !== 0 && bitCount(mask) >= minBits;
    session.versionMask = enough ? mask : 0;
    reply['version-rolling'] = enough;
    if (enough) reply['version-rolling.mask'] = mask.toString(16).padStart(8, '0');
  }
  return reply;
}

function bitCount(value: number): number {
  let count = 0;
  for (let rest = value; rest !== 0; rest &= rest - 1) count++;
  return count;
}
