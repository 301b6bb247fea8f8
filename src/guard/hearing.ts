import { groupHintOf } from '../faults/group-hint.ts';
import type { Evidence, Fault, FaultProfile } from '../faults/fault.ts';
import { readLimits } from '../faults/limits.ts';
import type { Heard } from '../keys/pool.ts';

export type Answer = Pick<Evidence, 'status' | 'header' | 'body' | 'text'>;

/** What an answer says beside its content. After a refusal, `fault` is what was made of it. */
export function heardIn(
  answer: Answer,
  profile: FaultProfile,
  now: number,
  fault?: Fault,
): Heard {
  const limits = readLimits(answer, now, profile.limits);
  if (fault !== undefined && profile.limitsInBody) limits.push(...profile.limitsInBody(answer.body));
  return {
    limits,
    group: groupHintOf(answer),
    ofModel: profile.limitScope !== 'group',
    // It was told to come back then; the reset of a limit that refills bit by bit is later.
    until: fault?.until,
  };
}
