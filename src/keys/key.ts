import type { KeyView } from '../strategies/strategy.ts';
import type { AddressLimit } from './address-limit.ts';
import type { FailureRun } from './failure-run.ts';
import { compileGlob } from './glob.ts';
import { INSPECT } from './concealed.ts';
import type { Gate } from './gate.ts';
import { Gated } from './gated.ts';
import type { QuotaGroup } from './group.ts';
import { KeyMetrics } from './key-metrics.ts';
import type { Lease } from './lease.ts';
import { maskSecret } from './mask.ts';
import { leaveModels } from './model-quotas.ts';
import type { NormalizedKey } from './normalize.ts';
import { Quota, type DayReset, type QuotaUses } from './quota.ts';
import type { SharedShortages } from './shared-shortages.ts';

/** After this many attempts at once a recovered key counts as fully back. */
const RAMP_END = 16;

/** What one attempt asks of a key. */
export interface Demand {
  readonly model: string | undefined;
  /** Estimated tokens; 0 where unknown. */
  readonly tokens: number;
  now: number;
  /** The key to take if it is ready. */
  readonly preferredKeyId?: string | undefined;
  /** What is to stay with one key, while it is ready. */
  readonly affinity?: string | undefined;
  /** No other key can serve the call: these have what it uses. The best comes first. */
  readonly only?: readonly PoolKey[] | undefined;
  /** What the provider takes from this address, whatever the key; undefined where it has said nothing of that. */
  readonly address?: AddressLimit | undefined;
}

/** One API key of a pool, with everything that was learned about it. */
export class PoolKey extends Gated implements KeyView {
  // What every lease looks at comes first: of a hundred thousand keys, most have to be fetched from memory.
  readonly position: number;
  /** Attempts under way stay with the group they began in. */
  quotaGroup: QuotaGroup;
  private quota: Quota | undefined;
  /** Set where other processes have used it up. */
  shortages: SharedShortages | undefined = undefined;
  inFlight = 0;
  /** Taken out of use by a person, with the reason; survives every success. */
  held: string | undefined;
  /** Not leased any more; leaves the pool when its last attempt has settled. */
  draining = false;
  /** Attempts, those under way included. */
  requests = 0;
  /** Epoch ms; 0 before the first attempt. */
  lastUsedAt = 0;

  readonly id: string;
  readonly metrics = new KeyMetrics();
  latencyMs = 0;
  errorRate = 0;
  /** Provider failures of late; undefined while there are none. */
  failing: FailureRun | undefined = undefined;
  /** Attempts admitted at once while the key comes back; 0 when it is fully back. */
  ramp = 0;
  /** Validations in a row that could not tell. */
  inconclusive = 0;

  #settings: NormalizedKey;
  readonly #secret: string;
  private share = 1;
  private accepts: ((model: string) => boolean) | undefined;

  constructor(settings: NormalizedKey, position: number, group: QuotaGroup) {
    super();
    this.id = settings.id;
    this.position = position;
    this.quotaGroup = group;
    this.#secret = settings.key;
    this.#settings = settings;
    this.accepts = modelFilter(settings);
  }

  /** The secret; goes into the callback's context and nowhere else. */
  reveal(): string {
    return this.#secret;
  }

  /** Holds the secret too. */
  get settings(): NormalizedKey {
    return this.#settings;
  }

  get mask(): string {
    return maskSecret(this.#secret);
  }

  /** See {@link Gate.setBack}. What the store has said is asked again. */
  override setBack(byMs: number): void {
    super.setBack(byMs);
    this.shortages = undefined;
  }

  get weight(): number {
    return this.#settings.weight;
  }
  get priority(): number {
    return this.#settings.priority;
  }
  get group(): string {
    return this.quotaGroup.id;
  }
  /** The group that was declared, or that the provider's answers have named; undefined for a key on its own. */
  get namedGroup(): string | undefined {
    return this.quotaGroup.isNamed ? this.quotaGroup.id : undefined;
  }
  get tier(): string | undefined {
    return this.#settings.tier;
  }
  get region(): string | undefined {
    return this.#settings.region;
  }
  get tags(): readonly string[] {
    return this.#settings.tags;
  }

  /** What a strategy sees of it; nothing else is shown where one prints a key. */
  toJSON(): KeyView {
    const { id, position, weight, priority, group, tier, region, tags, inFlight, latencyMs, errorRate } = this;
    return { id, position, weight, priority, group, tier, region, tags, inFlight, latencyMs, errorRate };
  }

  [INSPECT](): KeyView {
    return this.toJSON();
  }

  /** New settings for the same secret: what was learned stays. */
  reconfigure(settings: NormalizedKey, dayReset: DayReset | undefined): void {
    this.#settings = settings;
    this.accepts = modelFilter(settings);
    if (this.quota) this.quota = Quota.of(settings.limits, dayReset, this.quota, this.share);
  }

  /** So many processes make do with its limits, each for itself. */
  divide(share: number, dayReset: DayReset | undefined): void {
    this.share = share;
    if (this.quota) this.quota = Quota.of(this.#settings.limits, dayReset, this.quota, share);
  }

  hasSecret(secret: string): boolean {
    return secret === this.#secret;
  }

  servesModel(model: string | undefined): boolean {
    return model === undefined || this.accepts === undefined || this.accepts(model);
  }

  /**
   * The earliest time the key may be leased for `demand`: `demand.now` where it may at once.
   * The gates come first: they are the cheapest to ask.
   */
  availableAt(demand: Demand, dayReset: DayReset | undefined): number {
    const { now, model } = demand;
    if (this.held !== undefined || this.draining) return Infinity;
    const group = this.quotaGroup;
    let at = Math.max(this.opensAt(model, now), group.opensAt(model, now));
    if (at > now) return at;
    if (this.shortages !== undefined) at = this.shortages.availableAt(demand, now);
    if (group.shortages !== undefined) at = Math.max(at, group.shortages.availableAt(demand, now));
    if (at > now) return at;
    const quota = this.quotaFor(dayReset);
    if (this.inFlight > 0 && this.inFlight >= this.mostInFlight(quota)) {
      group.reclaimExpired(now);
      if (this.inFlight >= this.mostInFlight(quota)) return group.nextExpiry;
    }
    const tokens = demand.tokens > 1 ? demand.tokens : 1;
    if (quota) {
      at = Math.max(at, quota.availableAt(tokens, now));
      if (quota.models) at = Math.max(at, modelAvailableAt(quota, group, model, tokens, now));
    }
    const shared = group.quota;
    if (shared) {
      if (group.inFlight >= shared.concurrency) {
        group.reclaimExpired(now);
        if (group.inFlight >= shared.concurrency) return group.nextExpiry;
      }
      at = Math.max(at, shared.availableAt(tokens, now));
      if (shared.models) at = Math.max(at, modelAvailableAt(shared, group, model, tokens, now));
    }
    if (group.learned) at = Math.max(at, group.learned.availableAt(model, tokens, now));
    return at;
  }

  /** Gates through which the coming lease would go as a probe. */
  override probedGates(model: string | undefined): Gate[] | undefined {
    return this.quotaGroup.probedGates(model, super.probedGates(model));
  }

  onLease(lease: Lease, dayReset: DayReset | undefined): void {
    this.inFlight++;
    this.requests++;
    this.lastUsedAt = lease.at;
    const quota = this.quotaFor(dayReset);
    quota?.reserve(lease.tokens, lease.at, lease.model);
    quota?.models?.take(lease);
    lease.group.onLease(lease);
  }

  onRelease(lease: Lease): void {
    this.inFlight--;
    if (lease.modelQuotas) leaveModels(lease);
    lease.group.onRelease(lease);
  }

  settleTokens(lease: Lease, before: number, after: number, now: number): void {
    this.quota?.settleTokens(lease.at, before, after, now);
    lease.group.quota?.settleTokens(lease.at, before, after, now);
    for (const { quota } of lease.modelQuotas ?? []) quota.settleTokens(lease.at, before, after, now);
    lease.group.learned?.adjust(lease, 0, after - before, now);
  }

  observe(failed: boolean, latencyMs: number): void {
    this.errorRate += 0.1 * ((failed ? 1 : 0) - this.errorRate);
    if (!failed) this.latencyMs = this.latencyMs === 0 ? latencyMs : this.latencyMs + 0.2 * (latencyMs - this.latencyMs);
  }

  startRamp(): void {
    this.ramp = 1;
  }

  /**
   * One more with each answer: the attempts after a recovery come one, two, four... at a time. While calls wait it does
   * not end, and grows slowly: all of them would come at once.
   */
  advanceRamp(isAwaited: boolean): void {
    if (this.ramp === 0) return;
    if (this.ramp < RAMP_END) this.ramp++;
    else this.ramp = isAwaited ? this.ramp + 1 / this.ramp : 0;
  }

  quotaUse(now: number): QuotaUses {
    return this.quota?.use(now) ?? Quota.unused(this.#settings.limits);
  }

  /** True where one of so many processes, left to itself, has taken more of the key or its group than its part. */
  isOverdrawn(processes: number, { model, tokens }: Pick<Demand, 'model' | 'tokens'>, now: number): boolean {
    const { inFlight, quota, quotaGroup: group } = this;
    if (quota?.isOverdrawn(processes, inFlight, tokens, now, model)) return true;
    return group.quota?.isOverdrawn(processes, group.inFlight, tokens, now, model) === true;
  }

  /** Undefined where there are no limits, or none of them was used yet. */
  get usedQuota(): Quota | undefined {
    return this.quota;
  }

  /** Created when the key is first looked at: an idle key pays for no window. */
  quotaFor(dayReset: DayReset | undefined): Quota | undefined {
    if (this.quota === undefined && this.#settings.limits !== undefined) {
      this.quota = Quota.of(this.#settings.limits, dayReset, undefined, this.share);
    }
    return this.quota;
  }

  private mostInFlight(quota: Quota | undefined): number {
    const limit = quota?.concurrency ?? Infinity;
    return this.ramp > 0 && this.ramp < limit ? this.ramp : limit;
  }
}

/** When what the quota allows for the model alone has room. */
function modelAvailableAt(quota: Quota, group: QuotaGroup, model: string | undefined, tokens: number, now: number): number {
  const entry = quota.models?.of(model);
  if (!entry) return now;
  if (entry.inFlight >= entry.quota.concurrency) {
    group.reclaimExpired(now);
    if (entry.inFlight >= entry.quota.concurrency) return group.nextExpiry;
  }
  return entry.quota.availableAt(tokens, now);
}

function modelFilter(settings: NormalizedKey): ((model: string) => boolean) | undefined {
  const { models, excludeModels, servesModel } = settings;
  if (!models?.length && !excludeModels?.length) return servesModel;
  const included = models?.map(glob => compileGlob(glob)) ?? [];
  const excluded = excludeModels?.map(glob => compileGlob(glob)) ?? [];
  return model =>
    (servesModel === undefined || servesModel(model)) &&
    (included.length === 0 || included.some(match => match(model))) &&
    !excluded.some(match => match(model));
}
