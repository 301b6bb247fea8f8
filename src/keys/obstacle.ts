import type { GateState } from './gate.ts';
import type { GateView } from './gated.ts';
import type { Demand, PoolKey } from './key.ts';
import type { DayReset } from './quota.ts';

/**
 * A key's state in words: `exhausted` by its limits over time, `busy` with attempts under way, `unsuitable` where it does
 * not serve the model, or has not what the call uses.
 */
export type KeyState = GateState | 'draining' | 'exhausted' | 'busy' | 'unsuitable';

/** Why a key cannot be leased at this moment. */
export interface Obstacle {
  readonly state: KeyState;
  readonly reason: string;
  /** Earliest time it may be; `Infinity` where no time will do. */
  readonly at: number;
  /** True where an attempt under way must settle first. */
  readonly pending: boolean;
  /** Whom it holds back: every call, those of the same model, or this one alone, which is too large. */
  readonly concerns: 'all' | 'model' | 'call';
}

/**
 * Says in words what {@link PoolKey.availableAt} found. Not for the hot path: asked when a key is set aside,
 * and by people.
 */
export function obstacleOf(key: PoolKey, demand: Demand, dayReset: DayReset | undefined): Obstacle | undefined {
  return heldObstacle(key) ?? gateObstacle(key, demand) ?? limitObstacle(key, demand, dayReset) ?? toldObstacle(key, demand);
}

/** Time ends a cool-down; a doubt about the key itself lasts until an answer or a validation ends it. */
export function doubtOf(key: PoolKey, model?: string): 'disabled' | 'suspect' | undefined {
  const { gate } = key;
  if (gate.state === 'disabled' || gate.state === 'suspect') return gate.state;
  const state = model === undefined ? undefined : key.modelGate(model).state;
  return state === 'disabled' || state === 'suspect' ? state : undefined;
}

function heldObstacle({ draining, held }: PoolKey): Obstacle | undefined {
  const never = { at: Infinity, pending: false, concerns: 'all' } as const;
  if (draining) return { ...never, state: 'draining', reason: 'draining' };
  if (held !== undefined) return { ...never, state: 'disabled', reason: `disabled by hand: ${held}` };
  return undefined;
}

/** The gate that stays shut the longest. */
function gateObstacle(key: PoolKey, { model, now }: Demand): Obstacle | undefined {
  const { quotaGroup } = key;
  const gates: [gate: GateView, ofModel: boolean, where: string][] = [
    [key.gate, false, ''],
    [quotaGroup.gate, false, placeOf(key, undefined, true)],
  ];
  if (model !== undefined) {
    gates.push([key.modelGate(model), true, placeOf(key, model, false)]);
    gates.push([quotaGroup.modelGate(model), true, placeOf(key, model, true)]);
  }
  let worst: Obstacle | undefined;
  for (const [gate, ofModel, where] of gates) {
    const at = gate.availableAt(now);
    if (at <= now || (worst && at <= worst.at)) continue;
    const pending = gate.isProbing(now);
    const reason = pending ? `a probe is under way${where}` : `${gate.state}: ${gate.reason}${where}`;
    worst = { state: gate.state, reason, at, pending, concerns: ofModel ? 'model' : 'all' };
  }
  return worst;
}

/** A key without a group is a group of its own, which is nothing to speak of. */
function placeOf({ namedGroup }: PoolKey, model: string | undefined, ofGroup: boolean): string {
  const parts = [
    ...(ofGroup && namedGroup !== undefined ? [`group ${namedGroup}`] : []),
    ...(model === undefined ? [] : [`model ${model}`]),
  ];
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

function limitObstacle(key: PoolKey, demand: Demand, dayReset: DayReset | undefined): Obstacle | undefined {
  const { model, now, tokens } = demand;
  const busy = (reason: string, concerns: Obstacle['concerns'] = 'all'): Obstacle => ({
    state: 'busy',
    reason,
    at: key.quotaGroup.nextExpiry,
    pending: true,
    concerns,
  });
  const exhausted = (at: number, concerns: Obstacle['concerns'], reason: string): Obstacle => ({
    state: 'exhausted',
    reason,
    at,
    pending: false,
    concerns,
  });
  for (const { at, concerns, where, why } of shortagesOf(key, demand)) {
    if (why === 'busy') return { ...busy(`concurrency limit${where} reached by all processes together`, concerns), at };
    if (why === 'requests') return exhausted(at, concerns, `quota${where} used up by all processes together`);
    return exhausted(at, 'call', `token quota${where} has no room for ${Math.max(1, tokens)}, over all processes`);
  }
  if (key.ramp > 0 && key.inFlight >= key.ramp) return busy('recovering: few attempts at a time');
  const needed = Math.max(1, tokens);
  const { quotaGroup } = key;
  // A limit that was not used yet has room for any call but one that is larger than all of it.
  const own = needed > 1 ? key.quotaFor(dayReset) : key.usedQuota;
  const ofModel = own?.models?.of(model);
  const ofGroupModel = quotaGroup.quota?.models?.of(model);
  for (const [quota, inFlight, concerns, where] of [
    [own, key.inFlight, 'all', ''],
    [ofModel?.quota, ofModel?.inFlight ?? 0, 'model', ` for ${model}`],
    [quotaGroup.quota, quotaGroup.inFlight, 'all', ' of its group'],
    [ofGroupModel?.quota, ofGroupModel?.inFlight ?? 0, 'model', ` of its group for ${model}`],
  ] as const) {
    if (!quota) continue;
    if (inFlight >= quota.concurrency) return busy(`concurrency limit${where} reached`, concerns);
    const at = quota.availableAt(1, now);
    if (at > now) return exhausted(at, concerns, `quota${where} used up`);
    const fitsAt = quota.availableAt(needed, now);
    if (fitsAt === Infinity) return exhausted(fitsAt, 'call', `token limit${where} is below the ${needed} asked for`);
    if (fitsAt > now) return exhausted(fitsAt, 'call', `token quota${where} has no room for ${needed}`);
  }
  return undefined;
}

/** What the store has said that other processes have used up. */
function* shortagesOf(key: PoolKey, demand: Demand) {
  const { model, now } = demand;
  for (const { shortages, isGroup } of [
    { shortages: key.shortages, isGroup: false },
    { shortages: key.quotaGroup.shortages, isGroup: true },
  ]) {
    for (const shortage of shortages?.of(model) ?? []) {
      if (shortage.availableAt(demand, now) <= now) continue;
      const isOfModel = shortages?.isOfModel(shortage) === true;
      const where = (isGroup ? ' of its group' : '') + (isOfModel && model !== undefined ? ` for ${model}` : '');
      yield { at: shortage.at, why: shortage.why, concerns: isOfModel ? 'model' : 'all', where } as const;
    }
  }
}

/** What the provider takes from this address is used up, whatever the key. */
export function addressObstacle({ address, now }: Demand): Obstacle | undefined {
  const at = address?.availableAt(now) ?? now;
  if (address === undefined || at <= now) return undefined;
  const reason = `the provider's ${address.counts} of this address is used up`;
  return { state: 'exhausted', reason, at, pending: address.isOurs, concerns: 'all' };
}

/** What the provider's own figures forbid. Those of attempts under way may show that there is more. */
function toldObstacle(key: PoolKey, { model, tokens, now }: Demand): Obstacle | undefined {
  const { quotaGroup } = key;
  const shortage = quotaGroup.learned?.shortageOf(model, tokens, now);
  if (!shortage) return undefined;
  const { at, limit, ofModel } = shortage;
  const isLarge = limit.availableAt(1, now) <= now;
  const where = placeOf(key, ofModel ? model : undefined, true);
  const used = limit.inference
    ? `${limit.counts} are used up, as far as can be inferred from refusals${where}`
    : `the provider's ${limit.counts} are used up${where}`;
  return {
    state: 'exhausted',
    reason: isLarge ? `the provider has no room for ${tokens} ${limit.counts}${where}` : used,
    at,
    pending: limit.isOurs(now) && quotaGroup.inFlight > 0,
    concerns: isLarge ? 'call' : ofModel ? 'model' : 'all',
  };
}
