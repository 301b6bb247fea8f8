// Run: npx tsx examples/custom-strategy.ts
import { ExecutionGuard, type KeyView, type SelectionStrategy } from 'execution-guard';

/** Stays with one key for ten calls, then goes on to the next: for providers that cache prompts per account. */
function inTens(): SelectionStrategy {
  let position = 0;
  let calls = 0;
  return {
    name: 'in-tens',
    select: ready => ready.next(position),
    // Only here may a strategy count: what `select` proposes may be turned down.
    onLease(key: KeyView) {
      calls = key.position === position ? calls + 1 : 1;
      position = key.position;
      if (calls < 10) return;
      calls = 0;
      position++;
    },
  };
}

const guard = new ExecutionGuard({
  keyManagement: {
    providers: {
      gemini: {
        // A function, because the strategy keeps state: every set of keys gets one of its own.
        strategy: inTens,
        keys: ['ann', 'ben', 'cleo'].map(id => ({ id, key: `secret of ${id}` })),
      },
    },
  },
});

const used = new Map<string | undefined, number>();
for (let i = 0; i < 25; i++) {
  const keyId = await guard.execute(context => context.keyId, 'gemini');
  used.set(keyId, (used.get(keyId) ?? 0) + 1);
}
console.log(Object.fromEntries(used), guard.explain('gemini').strategy);
guard.close();
