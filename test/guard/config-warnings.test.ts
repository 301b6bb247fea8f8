import { expect, test } from 'vitest';
import { benchOf } from './support.ts';

test('limits of a group that no key is in are warned of: a misspelt group would switch them off in silence', () => {
  const { warnings } = benchOf({
    keyManagement: {
      providers: {
        llm: {
          groups: { research: { limits: { rpm: 1 } }, chat: { limits: { rpm: 1 } } },
          keys: [{ key: 'secret-1', group: 'reserch' }, { key: 'secret-2', group: 'chat' }],
        },
      },
    },
  });
  expect(warnings).toEqual([
    'keyManagement.providers["llm"].groups["research"] has no effect: no key is in this group',
  ]);
});

test('a strategy whose select() returns a promise, or nothing, is warned of once', async () => {
  for (const select of [() => Promise.resolve(undefined), () => undefined]) {
    const { guard, warnings } = benchOf({
      keyManagement: {
        providers: { llm: { keys: ['secret-1', 'secret-2'], strategy: { name: 'odd', select: select as () => undefined } } },
      },
    });
    for (let i = 0; i < 3; i++) await guard.execute(() => 'fine', 'llm');
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/strategy/);
  }
});
