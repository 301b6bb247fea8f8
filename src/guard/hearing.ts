import { groupHintOf } from '../faults/group-hint.ts';
import type { Evidence, Fault, FaultProfile } from '../faults/fault.ts';
import { readLimits } from '../faults/limits.ts';
import type { Heard } from '../keys/pool.ts';

/** What an answer says beside its content. After a refusal, `fault` is what was made of it. */
export function heardIn(
  answer: Pick<Evidence, 'status' | 'header' | 'body' | 'text'>,
  profile: FaultProfile,
  now: number,
  fault?: Fault,
): Heard {
  const inBody = fault === undefined ? [] : (profile.limitsInBody?.(answer.body) ?? []);
  return {
    limits: [...readLimits(answer, now, profile.limits), ...inBody],
    group: groupHintOf(answer),
    ofModel: profile.limitScope !== 'group',
    // It was told to come back then; the reset of a limit that refills bit by bit is later.
    until: fault?.until,
  };
}
