import type { LeaseAnswer, LeaseRequest, Member } from '../store.ts';
import { modelSuffix } from './gate-record.ts';
import type { RedisMember } from './member.ts';
import type { PoolNames } from './names.ts';
import { NONE, Numbering } from './numbering.ts';

/** One lease that is asked for. */
export interface Ask {
  readonly request: LeaseRequest;
  /** Calls to be taken at once. */
  readonly calls: number;
  readonly resolve: (answer: LeaseAnswer) => void;
}

/** What holds for all leases that travel together. */
export interface LeaseTerms {
  /** The beginning of the ids of all leases that it grants. */
  readonly scriptId: string;
  readonly version: string;
  readonly leaseMs: number;
  /** By the store's clock. */
  readonly dayReset: () => number;
  readonly laterMs: number;
}

/** The id of one of its leases. */
export function leaseId(scriptId: string, position: number): string {
  return scriptId + String.fromCharCode(48 + position);
}

function codeOf(numbering: Numbering, member: Member | undefined): string {
  return member ? numbering.codeOf(member.name) : NONE;
}

/** What the script is called with; see there. */
export function leaseCall(
  names: PoolNames,
  members: ReadonlyMap<string, RedisMember>,
  asks: readonly Ask[],
  { version, scriptId, leaseMs, dayReset, laterMs }: LeaseTerms,
) {
  const numbering = new Numbering();
  const leases: (string | number)[] = [];
  for (const { calls, request } of asks) {
    let order = '';
    for (const { key, group, keyModel, groupModel, probes } of request.candidates) {
      order += numbering.codeOf(key.name) + numbering.codeOf(group.name);
      order += codeOf(numbering, keyModel) + codeOf(numbering, groupModel) + (probes ? '1' : '0');
    }
    leases.push(Math.ceil(request.tokens), modelSuffix(request.model), calls, order);
  }
  const keys = [names.version, names.gates];
  const limits: string[] = [];
  let hasDay = false;
  for (const name of numbering.names) {
    const member = members.get(name);
    keys.push(names.entry(name));
    limits.push(member?.limitsText ?? '');
    hasDay ||= member?.hasDay === true;
  }
  return { keys, args: [version, scriptId, leaseMs, hasDay ? dayReset() : 0, laterMs, ...limits, ...leases] };
}
