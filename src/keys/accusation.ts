import type { Fault } from '../faults/fault.ts';
import type { Gate, GateSnapshot } from './gate.ts';
import type { Lease } from './lease.ts';

/** Groups that fail alike in one call before the fault is the request's or the configuration's. */
export const CORRELATED_GROUPS = 3;
/** Keys that refuse one call before it gives up, whatever their groups: a thousand keys are no thousand attempts. */
const MOST_ACCUSED = 10;

/** One key suspected in one call, with what its gate was before. */
export class Accusation {
  readonly lease: Lease;
  readonly fault: Fault;
  readonly gate: Gate;
  readonly before: GateSnapshot;
  readonly since: number;

  constructor(lease: Lease, fault: Fault, gate: Gate, before: GateSnapshot) {
    this.lease = lease;
    this.fault = fault;
    this.gate = gate;
    this.before = before;
    this.since = gate.since;
  }
}

/** True where so many groups were refused alike that no key can be to blame. */
export function isCorrelated(accusations: readonly Accusation[]): boolean {
  if (accusations.length >= MOST_ACCUSED) return true;
  const last = accusations.at(-1);
  if (!last || accusations.length < CORRELATED_GROUPS) return false;
  const alike = accusations.filter(({ fault }) => fault.kind === last.fault.kind);
  return new Set(alike.map(({ lease }) => lease.key.group)).size >= CORRELATED_GROUPS;
}
