import type { Lease } from './lease.ts';
import { ModelLists } from './model-lists.ts';
import type { Quota, QuotaData, QuotaLimits, QuotaUses } from './quota.ts';

/** What one entry of limits by model allows: all models that it is for share it. */
export interface ModelQuota {
  readonly pattern: string;
  readonly limits: QuotaLimits;
  readonly quota: Quota;
  /** Attempts under way. */
  inFlight: number;
}

/** The limits of a key or a group that hold for some models only. */
export class ModelQuotas {
  private readonly lists: ModelLists;
  private readonly byPattern = new Map<string, ModelQuota>();

  /**
   * @param create the windows for these limits, which go on with what `previous` has counted; undefined where nothing
   * is limited
   */
  constructor(
    models: Readonly<Record<string, QuotaLimits>>,
    previous: ModelQuotas | undefined,
    create: (limits: QuotaLimits, previous: Quota | undefined) => Quota | undefined,
  ) {
    this.lists = new ModelLists(Object.keys(models));
    for (const [pattern, limits] of Object.entries(models)) {
      const known = previous?.byPattern.get(pattern);
      const quota = create(limits, known?.quota);
      // Attempts under way give their places back to the entry that they have taken them from.
      if (quota) this.byPattern.set(pattern, known ? Object.assign(known, { limits, quota }) : { pattern, limits, quota, inFlight: 0 });
    }
  }

  /** What holds for the model: the entry of its name, else the most specific one that fits. */
  of(model: string | undefined): ModelQuota | undefined {
    if (model === undefined) return undefined;
    const pattern = this.lists.listOf(model);
    return pattern === undefined ? undefined : this.byPattern.get(pattern);
  }

  /** Reserves what the lease asks for, and a place until {@link leaveModels}. */
  take(lease: Lease): void {
    const entry = this.of(lease.model);
    if (!entry) return;
    entry.quota.reserve(lease.tokens, lease.at, lease.model);
    entry.inFlight++;
    (lease.modelQuotas ??= []).push(entry);
  }

  use(now: number): Record<string, QuotaUses> {
    return Object.fromEntries([...this.byPattern].map(([pattern, { quota }]) => [pattern, quota.use(now)]));
  }

  /** Undefined where nothing counts. */
  snapshot(now: number): Record<string, QuotaData> | undefined {
    const used = [...this.byPattern].flatMap(([pattern, { quota }]) => {
      const data = quota.snapshot(now);
      return data ? [[pattern, data] as const] : [];
    });
    return used.length === 0 ? undefined : Object.fromEntries(used);
  }

  restore(data: Readonly<Record<string, QuotaData>>, now: number): void {
    for (const [pattern, { quota }] of this.byPattern) {
      quota.restore(Object.hasOwn(data, pattern) ? data[pattern]! : {}, now);
    }
  }
}

/** The attempt is over: its places are free. */
export function leaveModels({ modelQuotas = [] }: Lease): void {
  for (const entry of modelQuotas) entry.inFlight--;
}
