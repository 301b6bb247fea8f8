import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Fault } from '../../src/faults/fault.ts';
import { QuotaGroup } from '../../src/keys/group.ts';
import { PoolKey } from '../../src/keys/key.ts';
import { Lease, type LeaseHolder } from '../../src/keys/lease.ts';

const fault: Fault = { kind: 'rate_limit', scope: 'group', action: 'cool', certainty: 'likely', rule: 'test/rule' };

function leaseOf(group: QuotaGroup, holder: Partial<LeaseHolder> = {}, expiresAt = 100): Lease {
  const settings = { id: 'a', key: 'secret-of-a', weight: 1, priority: 0, tags: [] };
  const key = new PoolKey(settings, 0, group);
  const lease = new Lease(
    {
      onAnswered: () => undefined,
      onFailed: () => undefined,
      onReleased: () => undefined,
      onTokensFreed: () => undefined,
      ...holder,
    },
    key,
    undefined,
    10,
    0,
    expiresAt,
    undefined,
  );
  key.onLease(lease, undefined);
  return lease;
}

test('is judged once and released once, in whatever order and however often it is told', () => {
  const steps = fc.array(fc.constantFrom('answered', 'failed', 'release', 'usage'), { maxLength: 20 });
  fc.assert(
    fc.property(steps, sequence => {
      const heard: string[] = [];
      const lease = leaseOf(new QuotaGroup('g', true), {
        onAnswered: () => heard.push('judged'),
        onFailed: () => void heard.push('judged'),
        onReleased: () => heard.push('released'),
      });
      for (const step of sequence) {
        if (step === 'answered') lease.answered(5, 5);
        else if (step === 'failed') expect(lease.failed(fault, 5)).toBeUndefined();
        else if (step === 'release') lease.release(5);
        else lease.reportUsage({ inputTokens: 1 }, 5);
      }
      const judgements = sequence.filter(step => step === 'answered' || step === 'failed').length;
      expect(heard.filter(each => each === 'judged')).toHaveLength(Math.min(1, judgements));
      expect(heard.filter(each => each === 'released')).toHaveLength(sequence.includes('release') ? 1 : 0);
      expect(lease.isJudged).toBe(judgements > 0);
    }),
  );
});

test('a group gives back the places of those that have run out, oldest first, and of no other', () => {
  const leases = fc.array(fc.record({ expiresAt: fc.nat(100), isReleased: fc.boolean() }), { maxLength: 20 });
  fc.assert(
    fc.property(leases, fc.nat(120), (each, now) => {
      const group = new QuotaGroup('g', true);
      const released = new Set<Lease>();
      const onReleased = (lease: Lease): void => {
        released.add(lease);
        lease.key.onRelease(lease);
      };
      const sorted = [...each].sort((a, b) => a.expiresAt - b.expiresAt);
      const held = sorted.map(({ expiresAt }) => leaseOf(group, { onReleased }, expiresAt));
      held.forEach((lease, index) => {
        if (sorted[index]!.isReleased) lease.release(0);
      });
      const left = held.filter(lease => !released.has(lease));
      expect(group.nextExpiry).toBe(left[0]?.expiresAt ?? Infinity);
      group.reclaimExpired(now);
      expect(held.filter(lease => !released.has(lease))).toEqual(left.filter(({ expiresAt }) => expiresAt > now));
      expect(group.inFlight).toBe(left.filter(({ expiresAt }) => expiresAt > now).length);
    }),
  );
});

test('a group knows its members, whoever joins and leaves', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(5), { maxLength: 30 }), toggles => {
      const group = new QuotaGroup('g', true);
      const keys = Array.from({ length: 6 }, (_, i) =>
        new PoolKey({ id: `k${i}`, key: `secret-${i}`, weight: 1, priority: 0, tags: [] }, i, group));
      const members = new Set<PoolKey>();
      for (const index of toggles) {
        const key = keys[index]!;
        if (members.delete(key)) {
          group.leave(key);
        } else {
          members.add(key);
          group.join(key);
        }
        expect(new Set(group.members())).toEqual(members);
        expect(group.isEmpty).toBe(members.size === 0);
      }
    }),
  );
});
