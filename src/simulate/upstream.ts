import type { Cause } from './dialects/dialect.ts';
import { meterOf, type Meter } from './meter.ts';
import type { QuotaScope, SimulatedKey, SimulatedProvider, Trouble } from './scenario.ts';
import type { AskedCall } from './traffic.ts';

/** A trouble, and how often it has struck. */
interface Active {
  readonly trouble: Trouble;
  readonly id: string;
  readonly fromAt: number;
  readonly untilAt: number;
  readonly keys: ReadonlySet<string> | undefined;
  struck: number;
}

/** One provider: what is used of its quotas, and what ails it. Times are epoch ms. */
export class Upstream {
  readonly model: SimulatedProvider;
  readonly startAt: number;
  private readonly name: string;
  private readonly keys: ReadonlyMap<string, SimulatedKey>;
  private readonly troubles: readonly Active[];
  private readonly meters = new Map<string, Meter>();
  private readonly metersByKey = new Map<string, readonly Meter[]>();
  private readonly prompts = new Map<string, number>();
  private readonly ids = new Map<Meter, string>();

  constructor(name: string, model: SimulatedProvider, startAt: number) {
    this.name = name;
    this.model = model;
    this.startAt = startAt;
    this.keys = new Map(model.keys.map(key => [key.id, key]));
    this.troubles = (model.troubles ?? []).map((trouble, position) => ({
      trouble,
      id: `${name} ${trouble.kind} ${position}`,
      fromAt: startAt + trouble.fromMs,
      untilAt: startAt + (trouble.untilMs ?? Infinity),
      keys: trouble.keys && new Set(trouble.keys),
      struck: 0,
    }));
  }

  keyOf(id: string): SimulatedKey {
    const key = this.keys.get(id);
    if (!key) throw new RangeError(`${this.name} has no key ${JSON.stringify(id)}`);
    return key;
  }

  /** All limits that an attempt with the key has to fit under. */
  metersOf(id: string, { model = '' }: Pick<AskedCall, 'model'>): readonly Meter[] {
    const { quotas = [] } = this.model;
    const ofModel = quotas.some(({ perModel }) => perModel) ? model : '';
    const lot = `${id} ${ofModel}`;
    let meters = this.metersByKey.get(lot);
    if (!meters) {
      const key = this.keyOf(id);
      meters = quotas.map((quota, position) => {
        const owner = ownerOf(key, quota.of);
        const name = quota.perModel ? `${position} ${owner} ${ofModel}` : `${position} ${owner}`;
        let meter = this.meters.get(name);
        if (!meter) {
          meter = meterOf(quota, quota.of === 'key' ? key.scale : 1);
          this.meters.set(name, meter);
          this.ids.set(meter, `${this.name} quota ${name}`);
        }
        return meter;
      });
      this.metersByKey.set(lot, meters);
    }
    return meters;
  }

  /** A request arrives. Undefined where it is served, and counted. */
  admit(keyId: string, call: AskedCall, now: number): Cause | undefined {
    const trouble = this.troubleOf(keyId, now);
    if (trouble) {
      trouble.struck++;
      const ofKey = isOfKeys(trouble.trouble);
      return { kind: trouble.trouble.kind, id: ofKey ? `${trouble.id} ${keyId}` : trouble.id, trouble: trouble.trouble };
    }
    const tokens = this.tokensOf(keyId, call, now);
    const meters = this.metersOf(keyId, call);
    for (const meter of meters) {
      const retryAt = meter.fitsAt(amountOf(meter, tokens), now);
      if (retryAt > now) return { kind: 'quota', id: this.ids.get(meter)!, meter, retryAt };
    }
    for (const meter of meters) meter.add(amountOf(meter, tokens), now);
    if (call.session !== undefined && this.model.promptCacheMs !== undefined) {
      this.prompts.set(this.promptOf(keyId, call.session), now);
    }
    return undefined;
  }

  /** How many times longer an answer takes now. */
  slownessOf(keyId: string, now: number): number {
    const slow = this.troubles.find(each => each.trouble.kind === 'slow' && strikes(each, keyId, now));
    return slow?.trouble.factor ?? 1;
  }

  /** The earliest time at which the request would be served, as long as nothing else is counted. */
  servesAt(keyId: string, call: AskedCall, now: number): number {
    for (let at = now; ; ) {
      const before = at;
      const trouble = this.foreseenTrouble(keyId, at);
      if (trouble) at = trouble.untilAt;
      const tokens = this.tokensOf(keyId, call, at);
      for (const meter of this.metersOf(keyId, call)) at = Math.max(at, meter.fitsAt(amountOf(meter, tokens), now));
      if (at === before || at === Infinity) return at;
    }
  }

  /** The key could serve somebody now: neither is it refused, nor has it used up what it has. */
  isGood(keyId: string, call: AskedCall, now: number): boolean {
    return this.servesAt(keyId, call, now) <= now;
  }

  isCached(keyId: string, session: string | undefined, now: number): boolean {
    const { promptCacheMs } = this.model;
    if (session === undefined || promptCacheMs === undefined) return false;
    const seenAt = this.prompts.get(this.promptOf(keyId, session));
    return seenAt !== undefined && now < seenAt + promptCacheMs;
  }

  private tokensOf(keyId: string, { session, tokens }: AskedCall, now: number): number {
    return this.isCached(keyId, session, now) ? Math.ceil(tokens / 10) : tokens;
  }

  /** Prompts are remembered for all keys of a project. */
  private promptOf(keyId: string, session: string): string {
    return `${ownerOf(this.keyOf(keyId), 'project')} ${session}`;
  }

  private troubleOf(keyId: string, now: number): Active | undefined {
    return this.troubles.find(each => each.trouble.kind !== 'slow' && strikes(each, keyId, now));
  }

  /** Somebody has to be hit by those that a number of attempts ends. */
  private foreseenTrouble(keyId: string, now: number): Active | undefined {
    const trouble = this.troubleOf(keyId, now);
    return trouble?.trouble.attempts === undefined ? trouble : undefined;
  }
}

export function isOfKeys({ kind }: Trouble): boolean {
  return kind === 'revoked' || kind === 'suspended' || kind === 'billing';
}

function strikes({ fromAt, keys, struck, trouble, untilAt }: Active, keyId: string, now: number): boolean {
  if (now < fromAt || now >= untilAt || struck >= (trouble.attempts ?? Infinity)) return false;
  return keys === undefined || keys.has(keyId);
}

function ownerOf({ id, organization, project }: SimulatedKey, scope: QuotaScope): string {
  if (scope === 'address') return 'address';
  const owner = scope === 'key' ? undefined : scope === 'project' ? project : organization;
  return owner === undefined ? `key ${id}` : `${scope} ${owner}`;
}

function amountOf({ quota }: Meter, tokens: number): number {
  return quota.counts === 'requests' ? 1 : tokens;
}
