import type { PoolKey } from './key.ts';
import { Gate } from './gate.ts';
import { ModelGates } from './model-gates.ts';
import { Quota, type DayReset, type QuotaLimits } from './quota.ts';

/** Keys that share one quota: one project, one organisation, one account. */
export class QuotaGroup {
  readonly id: string;
  readonly gate = new Gate();
  readonly models = new ModelGates();
  readonly members = new Set<PoolKey>();
  quota: Quota | undefined;
  inFlight = 0;

  constructor(id: string) {
    this.id = id;
  }

  configure(limits: QuotaLimits | undefined, dayReset: DayReset | undefined): void {
    this.quota = Quota.of(limits, dayReset, this.quota);
  }
}
