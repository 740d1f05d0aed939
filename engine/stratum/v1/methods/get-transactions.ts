// mining.get_transactions [job id]: meant for miners that audit the template. The transactions of a job are not on
// this thread; an empty list is what pools answer that do not have them at hand, and miners put up with it.
import { StratumError } from '../reply.js';
import type { Session } from '../session.js';

export function getTransactions(session: Session, params: readonly unknown[]): [] {
  const [jobId] = params;
  if (typeof jobId !== 'string' || session.findJob(jobId) === undefined) {
    throw new StratumError(21, 'Job not found');
  }
  return [];
}
