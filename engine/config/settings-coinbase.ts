// Who is paid by a block itself.
import { Type } from '@sinclair/typebox';
import { notes } from './settings-notes.js';

const GROUP = 'Coinbase';
/** What firmware takes of which nothing is known (work/firmware-profiles.ts). */
const COMMON_FIRMWARE_BYTES = 500;

export const COINBASE_SETTINGS = {
  coinbase_pays: Type.Union(
    [Type.Literal('pool'), Type.Literal('miners')],
    notes({
      group: GROUP,
      default: 'pool',
      unit: 'pool or miners',
      description:
        'miners: each block pays as many as fit straight, those it owes most first, MIN_PAYOUT at least; the pool keeps the rest for the others. Not together with solo',
    }),
  ),
  coinbase_max_size: Type.Integer(
    notes({
      group: GROUP,
      default: COMMON_FIRMWARE_BYTES,
      minimum: 255,
      maximum: 16_000,
      unit: 'bytes',
      description:
        'Longest coinbase with COINBASE_PAYS=miners; 500 is what common firmware takes, an output has 31 to 43',
    }),
  ),
};
