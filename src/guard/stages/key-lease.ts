import type { PoolKey } from '../../keys/key.ts';
import type { Lease } from '../../keys/lease.ts';
import { environmentKeyFor } from '../../keys/environment.ts';
import type { Pool } from '../../keys/pool.ts';
import type { Call } from '../call.ts';
import { NoKeyError } from '../errors.ts';
import type { Handler, Stage } from '../pipeline.ts';
import type { Runtime } from '../runtime.ts';
import { whenStreamEnds } from '../stream.ts';

/**
 * Takes a key for one attempt, and teaches the pool what came of it. A provider without a pool passes
 * through untouched.
 */
export function keyLeaseStage(runtime: Runtime): Stage {
  const { clock, events } = runtime;

  const withKey = async (call: Call, next: Handler, lease: Lease): Promise<unknown> => {
    call.lease = lease;
    call.place?.leave();
    call.place = undefined;
    let value: unknown;
    try {
      value = await next(call);
    } catch (error) {
      // The call was ended from outside: nobody's fault.
      lease.release(clock.now());
      throw error;
    }
    const now = clock.now();
    if (call.end === 'answered') {
      lease.answered(now - lease.at, now);
      if (call.accusations) {
        for (const accusation of call.accusations) call.pool?.settlement.convict(accusation, now);
        call.accusations = undefined;
      }
      const held = whenStreamEnds(value, () => lease.release(clock.now()));
      if (!held) lease.release(now);
      return value;
    }
    if (call.failure) {
      const accusation = lease.failed(call.failure.fault, now);
      if (accusation) (call.accusations ??= []).push(accusation);
      if (call.failure.fault.scope !== 'request') (call.tried ??= new Set()).add(lease.key);
    }
    lease.release(now);
    return value;
  };

  const announceFailover = (call: Call, lease: Lease): void => {
    const before = call.lease?.key.id;
    if (before === undefined || before === lease.key.id || !call.failure || !events.heard('failover')) return;
    events.emit('failover', {
      provider: call.provider.name,
      model: call.model,
      from: before,
      to: lease.key.id,
      fault: call.failure.fault.kind,
    });
  };

  return (call, next) => {
    const { pool } = call;
    if (!pool) return next(call);
    // Who waits already comes first.
    if (pool.line.size > 0 && !call.place) {
      call.end = 'no-key';
      call.blocked = { at: call.now, pending: true };
      return NOTHING;
    }
    const lease = leaseFor(call, pool);
    if (lease) {
      if (call.lease) announceFailover(call, lease);
      return withKey(call, next, lease);
    }
    if (call.takeFirst) {
      const first = pool.leaseFirst(call);
      if (first) return withKey(call, next, first);
    }
    // A key outside the pool is better than waiting for one inside.
    if (pool.settings.fallbackBehavior === 'useEnvironment' && call.lease === undefined) {
      call.environmentKey = environmentKeyFor(call.provider.name, pool.pattern, runtime.env);
      if (call.environmentKey !== undefined) return next(call);
    }
    if (pool.size === 0) return Promise.reject(new NoKeyError({ provider: call.provider.name }));
    call.end = 'no-key';
    call.blocked = pool.whyBlocked;
    return NOTHING;
  };
}

const NOTHING = Promise.resolve(undefined);

function leaseFor(call: Call, pool: Pool): Lease | undefined {
  const lease = pool.lease(call, call.tried, call.preferredKeyId);
  if (lease || !call.mayRepeat || !call.tried) return lease;
  return pool.lease(call, accusedKeys(call), call.preferredKeyId);
}

/** A key that was refused for itself is not asked twice in one call. */
function accusedKeys({ accusations }: Call): Set<PoolKey> | undefined {
  return accusations && new Set(accusations.map(({ lease }) => lease.key));
}
