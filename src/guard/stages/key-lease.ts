import { environmentKeyFor } from '../../keys/environment.ts';
import type { PoolKey } from '../../keys/key.ts';
import type { Lease } from '../../keys/lease.ts';
import type { Blocked } from '../../keys/lineup.ts';
import type { Pool } from '../../keys/pool.ts';
import { StoreFailure, type Confirmation, type SharedPool } from '../../keys/shared-pool.ts';
import { affinityOf } from '../affinity.ts';
import type { Call } from '../call.ts';
import { NoKeyError, StoreError } from '../errors.ts';
import { explainChoice, type KeyExplanation } from '../explain.ts';
import type { Handler, Stage } from '../pipeline.ts';
import type { Runtime } from '../runtime.ts';
import { isStream, whenStreamEnds } from '../stream.ts';
import { leaveLine } from '../waiting.ts';

const NOTHING = Promise.resolve(undefined);

/** Tells those who listen which key was chosen, and why. */
type ChoiceTeller = (key: PoolKey | undefined) => void;

/**
 * Takes a key for one attempt, and teaches the pool what came of it. A provider without a pool passes
 * through untouched.
 */
export function keyLeaseStage(runtime: Runtime): Stage {
  const { clock, events, env, interruptions } = runtime;

  const proceed = (call: Call, next: Handler, lease: Lease): Promise<unknown> => {
    const before = call.lease;
    call.lease = lease;
    call.isRepeat = call.tried?.has(lease.key) === true;
    if (before && before.key !== lease.key && call.failure && events.heard('failover')) {
      events.emit('failover', {
        provider: call.provider.name,
        model: call.model,
        from: before.key.id,
        to: lease.key.id,
        fault: call.failure.fault.kind,
      });
    }
    return begin(call, next);
  };

  const begin = (call: Call, next: Handler): Promise<unknown> => {
    leaveLine(call);
    return next(call);
  };

  /** The attempt did not begin: the retry stage decides whether to wait. */
  const blocked = (call: Call, { at, pending }: Blocked, seen: number): Promise<undefined> => {
    call.end = 'no-key';
    call.blocked = { at, pending, seen };
    return NOTHING;
  };

  const announce = (call: Call, pool: Pool, key: PoolKey | undefined, keys: readonly KeyExplanation[]): void => {
    const { sessionId, tags = [], userId } = call.options;
    events.emit('choice', {
      provider: call.provider.name,
      model: call.model,
      pool: pool.pattern,
      attempt: call.attemptsInAll + 1,
      keyId: key?.id,
      keys,
      userId,
      sessionId,
      tags,
    });
  };

  /** Other processes use the key as well: the store has the last word. */
  const confirm = (
    call: Call,
    next: Handler,
    shared: SharedPool,
    lease: Lease,
    isFixed: boolean,
    tell: ChoiceTeller | undefined,
  ): Promise<unknown> => {
    if (call.takeFirst) {
      tell?.(lease.key);
      return proceed(call, next, shared.record(lease));
    }
    const confirmation = shared.confirm(lease, call, excludedFrom(call), isFixed);
    if (!(confirmation instanceof Promise)) return confirmed(call, next, confirmation, tell);
    const inTime = interruptions.wait<Confirmation>(call, settle => {
      let isOver = false;
      void confirmation.then(outcome => {
        if (!isOver) settle.resolve(outcome);
        else if (outcome && !(outcome instanceof StoreFailure)) outcome.cancel(clock.now());
      }, settle.reject);
      return () => {
        isOver = true;
      };
    });
    return inTime.then(outcome => {
      call.now = clock.now();
      return confirmed(call, next, outcome, tell);
    });
  };

  const confirmed = (
    call: Call,
    next: Handler,
    outcome: Confirmation,
    tell: ChoiceTeller | undefined,
  ): Promise<unknown> => {
    // What the store has said of the keys it was asked for is known now.
    if (outcome === undefined) return enter(call, next);
    if (!(outcome instanceof StoreFailure)) {
      tell?.(outcome.key);
      return proceed(call, next, outcome);
    }
    const { cause } = outcome;
    return Promise.reject(new StoreError({ provider: call.provider.name, attempts: call.trail, cause }));
  };

  const enter = (call: Call, next: Handler): Promise<unknown> => {
    const { pool } = call;
    if (!pool) return next(call);
    attach(call, pool);
    // Who waits already comes first, unless the call is half way through its keys.
    const isBehind = pool.line.size > 0 && !call.place && call.attempts === 0 && pool.settings.maxWaitMs > 0;
    const explain = events.heard('choice') ? explainChoice(pool, call, call.tried) : undefined;
    const lease = isBehind ? pool.leaseUnclaimed(call) : leaseFor(call, pool);
    const tell = explain && ((key: PoolKey | undefined) => announce(call, pool, key, explain(key)));
    if (lease) {
      const { shared } = pool;
      if (shared) return confirm(call, next, shared, lease, isBehind, tell);
      tell?.(lease.key);
      return proceed(call, next, lease);
    }
    // One that waits finds none each time it looks.
    if (tell && call.foundNone !== call.attemptsInAll) tell(undefined);
    call.foundNone = call.attemptsInAll;
    // A key outside the pool is better than waiting for one inside, where the keys are what is missing.
    const mayUseOther = pool.settings.fallbackBehavior === 'useEnvironment' && call.attempts === 0 && !call.only;
    if (mayUseOther && !pool.holdsBack(call)) {
      const secret = environmentKeyFor(call.provider.name, pool.pattern, env);
      // A key of the pool is away for a reason, wherever else it stands.
      if (secret !== undefined && !pool.hasSecret(secret)) {
        call.environmentKey = secret;
        return begin(call, next);
      }
    }
    if (isBehind) return blocked(call, { at: call.now, pending: true }, pool.line.announced);
    if (pool.size === 0 && call.attempts === 0) return Promise.reject(new NoKeyError({ provider: call.provider.name }));
    const settling = pool.shared?.settling(call, call.tried);
    if (settling) return lookAgain(call, next, settling);
    return blocked(call, pool.whyBlocked, pool.line.announced);
  };

  const lookAgain = async (call: Call, next: Handler, when: Promise<unknown>): Promise<unknown> => {
    await interruptions.wait(call, ({ resolve, reject }) => {
      when.then(resolve, reject);
      return undefined;
    });
    call.now = clock.now();
    return enter(call, next);
  };

  /** False where the stream cannot be watched. */
  const releaseAtEnd = (lease: Lease, { options, value }: Call): boolean => {
    lease.whenReleased = whenStreamEnds(value, () => lease.release(clock.now()), options.signal);
    return lease.whenReleased !== undefined;
  };

  return {
    enter,

    attemptEnded(call) {
      const { lease, pool } = call;
      if (!lease || !pool || lease.isJudged) return;
      const now = call.endedAt;
      if (call.end === 'answered') {
        lease.answered(Math.max(0, now - lease.at), now);
        if (call.accusations) {
          for (const accusation of call.accusations) pool.settlement.convict(accusation, now);
          call.accusations = undefined;
        }
        if (!isStream(call.value) || !releaseAtEnd(lease, call)) lease.release(now);
        return;
      }
      if (call.end === 'failed' && call.failure) {
        const accusation = lease.failed(call.failure.fault, now);
        if (accusation) (call.accusations ??= []).push(accusation);
        if (call.failure.fault.scope !== 'request') (call.tried ??= new Set()).add(lease.key);
      }
      // Interrupted from outside, or answered elsewhere: nobody's fault.
      if (call.unsent) lease.cancel(now);
      else lease.release(now);
    },
  };
}

/** What the call is to stay with, and which keys have what it uses; what keys there are may change between attempts. */
function attach(call: Call, pool: Pool): void {
  const { affinity, uses } = call.options;
  if (uses !== undefined) call.only = pool.keysWith(uses);
  if (affinity !== undefined) call.affinity = affinity;
  else if (pool.settings.affinity !== undefined && call.attempts === 0) {
    call.affinity = affinityOf(pool.settings.affinity, call.options);
  }
}

function leaseFor(call: Call, pool: Pool): Lease | undefined {
  const { tried } = call;
  const excluded = excludedFrom(call);
  const lease = pool.lease(call, excluded) ?? (excluded === tried ? undefined : pool.lease(call, tried));
  if (lease) return lease;
  if (call.takeFirst && call.attempts === 0) return pool.leaseFirst(call);
  return call.mayRepeat && tried ? pool.lease(call, accusedKeys(call)) : undefined;
}

/**
 * The keys a call should not be risked on, if others will do: one that was refused already would stop at keys that were
 * refused together before.
 */
function excludedFrom({ accusations, pool, tried }: Call): ReadonlySet<PoolKey> | undefined {
  const doubted = pool?.settlement.doubted;
  return accusations && doubted && doubted.size > 0 ? new Set([...doubted, ...(tried ?? [])]) : tried;
}

/** A key that was refused for itself is not asked twice in one call. */
function accusedKeys({ accusations }: Call): Set<PoolKey> | undefined {
  return accusations && new Set(accusations.map(({ lease }) => lease.key));
}
