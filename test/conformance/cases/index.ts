// All cases, in the order in which they run: what a miner does first, what only strangers do last.
import type { ConformanceCase } from '../case.js';
import { authorizeCases } from './authorize.js';
import { configureCases } from './configure.js';
import { deadlineCases } from './deadlines.js';
import { difficultyCases } from './difficulty.js';
import { duplicateCases } from './duplicates.js';
import { framingCases } from './framing.js';
import { idCases } from './ids.js';
import { jobCases } from './jobs.js';
import { malformedCases } from './malformed.js';
import { methodCases } from './methods.js';
import { resumptionCases } from './resumption.js';
import { submitCases } from './submit.js';
import { submitRefusedCases } from './submit-refused.js';
import { subscribeCases } from './subscribe.js';
import { versionRollingCases } from './version-rolling.js';

export const CASES: readonly ConformanceCase[] = [
  ...configureCases,
  ...subscribeCases,
  ...authorizeCases,
  ...submitCases,
  ...submitRefusedCases,
  ...duplicateCases,
  ...versionRollingCases,
  ...difficultyCases,
  ...resumptionCases,
  ...jobCases,
  ...methodCases,
  ...framingCases,
  ...idCases,
  ...malformedCases,
  ...deadlineCases,
];
