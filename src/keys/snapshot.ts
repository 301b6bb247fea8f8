import type { Gate, GateSnapshot } from './gate.ts';
import type { Gated } from './gated.ts';
import type { QuotaGroup } from './group.ts';
import type { PoolKey } from './key.ts';
import type { LearnedData } from './learned-quota.ts';
import type { Pool } from './pool.ts';
import type { QuotaData } from './quota.ts';
import { LONGEST_COOLDOWN_MS } from './settlement.ts';

/** A gate that is closed, or was often enough to be closed for longer next time. */
export interface GateData extends GateSnapshot {
  /** Of a suspect nobody has vouched for: what the gate was. */
  readonly before?: GateSnapshot | undefined;
}

/** The gates of a key or a group: the one for all models, and those of single models. */
export interface GatesData {
  readonly gate?: GateData | undefined;
  readonly models?: Readonly<Record<string, GateData>> | undefined;
}

/** What is known of keys that share a quota. */
export interface GroupData extends GatesData {
  readonly quota?: QuotaData | undefined;
  readonly learned?: LearnedData | undefined;
  /** What the provider calls it. */
  readonly names?: readonly string[] | undefined;
}

/** What is known of a key. What is absent is as it is for a new one. */
export interface KeyData extends GatesData {
  readonly quota?: QuotaData | undefined;
  /** Taken out of use by a person. */
  readonly held?: true | undefined;
  readonly ramp?: number | undefined;
  readonly doubted?: true | undefined;
  /** The group the provider's answers have put it into. */
  readonly group?: string | undefined;
  /** Where it is a group of its own. */
  readonly own?: GroupData | undefined;
}

/** The reason a person gave may repeat what a provider said, and is not kept. */
const HELD_BEFORE = 'before the last start';

/** Undefined where there is nothing to be known: a key that is ready, and of which nothing was used that counts. */
export function snapshotKey(pool: Pool, key: PoolKey, now: number): KeyData | undefined {
  const { quotaGroup } = key;
  const isDeclared = key.settings.group !== undefined;
  const own = quotaGroup.isNamed ? undefined : snapshotGroup(pool, quotaGroup, now);
  const quota = key.usedQuota?.snapshot(now);
  return unlessEmpty<KeyData>({
    ...snapshotGates(pool, key),
    ...(quota && { quota }),
    ...(key.held !== undefined && { held: true }),
    ...(key.ramp > 0 && { ramp: key.ramp }),
    ...(pool.settlement.doubted.has(key) && { doubted: true }),
    ...(quotaGroup.isNamed && !isDeclared && { group: quotaGroup.id }),
    ...(own && { own }),
  });
}

/** As {@link snapshotKey}, for a group. */
export function snapshotGroup(pool: Pool, group: QuotaGroup, now: number): GroupData | undefined {
  const quota = group.quota?.snapshot(now);
  const learned = group.learned?.snapshot(now);
  const names = [...group.names].sort();
  return unlessEmpty<GroupData>({
    ...snapshotGates(pool, group),
    ...(quota && { quota }),
    ...(learned && { learned }),
    ...(names.length > 0 && { names }),
  });
}

/** Puts what was known in place of what is. Times that lie too far ahead come as soon as they may. */
export function restoreKey(pool: Pool, key: PoolKey, data: KeyData, now: number): void {
  restoreGates(pool, key, data, now, key);
  const held = data.held ? (key.held ?? HELD_BEFORE) : undefined;
  if (held !== key.held) {
    key.held = held;
    pool.shared?.heldChanged(key, true);
  }
  key.ramp = data.ramp ?? 0;
  pool.settlement.setDoubted(key, data.doubted === true);
  const quota = data.quota ? key.quotaFor(pool.settings.dayReset) : key.usedQuota;
  quota?.restore(data.quota ?? {}, now);
  if (data.group !== undefined) pool.groups.learn(key, data.group);
  if (!key.quotaGroup.isNamed) restoreGroup(pool, key.quotaGroup, data.own ?? {}, now);
  else pool.restored(key);
}

/** As {@link restoreKey}, for a group. */
export function restoreGroup(pool: Pool, group: QuotaGroup, data: GroupData, now: number): void {
  restoreGates(pool, group, data, now);
  group.quota?.restore(data.quota ?? {}, now);
  group.relearn(data.learned, pool.settings.dayReset, now);
  for (const model of group.learned?.models ?? []) {
    if (group.learned!.availableAt(model, 0, now) > now) pool.distinguish(model);
  }
  for (const name of data.names ?? []) pool.groups.remember(name, group);
  for (const key of group.members()) pool.restored(key);
}

function snapshotGates({ settlement }: Pool, owner: Gated): GatesData {
  let gate: GateData | undefined;
  const models: [string, GateData][] = [];
  for (const [model, each] of owner.gatesByModel()) {
    if (each.state === 'ready' && each.strikes === 0) continue;
    const before = settlement.beforeSuspicion(each);
    const data = before ? { ...each.snapshot(), before } : each.snapshot();
    if (model === undefined) gate = data;
    else models.push([model, data]);
  }
  return { ...(gate && { gate }), ...(models.length > 0 && { models: Object.fromEntries(models) }) };
}

/** @param key whom suspicion falls on; absent for a group, which is never suspected */
function restoreGates(pool: Pool, owner: Gated, data: GatesData, now: number, key?: PoolKey): void {
  if (pool.shared) pool.shared.restoring(() => putBack(pool, owner, data, now, key));
  else putBack(pool, owner, data, now, key);
}

function putBack(pool: Pool, owner: Gated, { gate, models = {} }: GatesData, now: number, key?: PoolKey): void {
  const restore = (to: Gate, { before, ...data }: GateData): void => {
    // One that has not changed may have a probe out.
    if (!isSame(to, data)) to.restore(bounded(data, now));
    if (key && before) pool.settlement.suspectAgain(key, to, bounded(before, now));
    else pool.settlement.unsuspect(to);
  };
  for (const [model, each] of owner.gatesByModel()) {
    if (model === undefined ? gate !== undefined : Object.hasOwn(models, model)) continue;
    each.reset();
    pool.settlement.unsuspect(each);
  }
  if (gate) restore(owner.gateOf(undefined), gate);
  for (const [model, data] of Object.entries(models)) {
    if (data.state !== 'ready') pool.distinguish(model);
    restore(owner.gateOf(model), data);
  }
}

function isSame(gate: Gate, data: GateSnapshot): boolean {
  const { state, until, since, strikes } = data;
  return gate.state === state && gate.until === until && gate.since === since && gate.strikes === strikes;
}

function bounded(gate: GateSnapshot, now: number): GateSnapshot {
  return { ...gate, since: Math.min(gate.since, now), until: Math.min(gate.until, now + LONGEST_COOLDOWN_MS) };
}

function unlessEmpty<Data extends object>(data: Data): Data | undefined {
  return Object.keys(data).length > 0 ? data : undefined;
}
