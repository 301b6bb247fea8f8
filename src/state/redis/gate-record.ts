import type { GateName, SharedGate } from '../store.ts';

/** A gate as it stands in the store, times those of the store. */
export interface GateRecord extends SharedGate {
  readonly revision: number;
  readonly probeId: string;
}

const SHAPE = /^(ready|cooling|suspect|disabled)\|(\d+)\|(\d+)\|(\d+)\|(\d)\|(\d+)\|([^|]*)\|(\d+)\|([^]*)$/;

/** Undefined for what no version of this package has written. */
export function readGate(text: string): GateRecord | undefined {
  const [, state, until, since, strikes, last, probeUntil, probeId = '', revision, reason = ''] = SHAPE.exec(text) ?? [];
  if (state !== 'ready' && state !== 'cooling' && state !== 'suspect' && state !== 'disabled') return undefined;
  return {
    state,
    until: Number(until),
    since: Number(since),
    strikes: Number(strikes),
    lastInLine: last === '1',
    probeUntil: Number(probeUntil),
    probeId,
    revision: Number(revision),
    reason,
  };
}

export function fieldOf({ member, model }: GateName): string {
  return model === undefined ? member : `${member}${modelSuffix(model)}`;
}

/** A model is named by callers: no name may end a field. */
export function modelSuffix(model: string | undefined): string {
  return model === undefined ? '' : `/${encodeURIComponent(model.replace(/\p{Surrogate}/gu, '\uFFFD'))}`;
}

export function nameOf(field: string): GateName {
  const end = field.indexOf('/');
  if (end < 0) return { member: field, model: undefined };
  return { member: field.slice(0, end), model: decodeURIComponent(field.slice(end + 1)) };
}
