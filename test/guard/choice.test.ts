import { expect, test } from 'vitest';
import type { ChoiceEvent } from '../../src/index.ts';
import { poolBench, PROVIDER } from './keys-bench.ts';

test('for every attempt it is told why each key was or was not chosen', async () => {
  const { ask, guard, replies } = poolBench(['a', 'b', { id: 'c', models: ['other'] }]);
  const choices: ChoiceEvent[] = [];
  guard.on('choice', choice => choices.push(choice));
  replies['a'] = [429];
  await ask({ model: 'm', sessionId: 's', tags: ['t'] });
  expect(choices.map(({ attempt, keyId }) => [attempt, keyId])).toEqual([[1, 'a'], [2, 'b']]);
  expect(choices[0]).toMatchObject({ provider: PROVIDER, model: 'm', sessionId: 's', userId: undefined, tags: ['t'] });
  expect(choices[0]!.keys.map(({ chosen, id, state, why }) => `${id} ${state} ${chosen}: ${why}`)).toEqual([
    'a ready true: chosen by round-robin',
    'b ready false: ready, not its turn',
    'c unsuitable false: does not serve m',
  ]);
  expect(choices[1]!.keys[0]).toMatchObject({ id: 'a', state: 'cooling', chosen: false });
});

test('a key that was tried in this call is told apart from one whose turn it is not', async () => {
  const { ask, guard, replies } = poolBench(['a', 'b'], { guard: { retry: { initialBackoffMs: 0, jitterMs: 0 } } });
  const choices: ChoiceEvent[] = [];
  guard.on('choice', choice => choices.push(choice));
  replies['a'] = [503];
  const asking = ask();
  await asking;
  expect(choices[1]!.keys.map(({ id, why }) => `${id}: ${why}`)).toEqual(['a: tried in this call', 'b: chosen by round-robin']);
});

test('no key to be had is told as well', async () => {
  const { ask, guard } = poolBench([{ id: 'a', limits: { rpm: 1 } }], { maxWaitMs: 0 });
  await ask();
  const choices: ChoiceEvent[] = [];
  const stop = guard.on('choice', choice => choices.push(choice));
  await ask();
  expect(choices).toMatchObject([{ keyId: undefined, keys: [{ id: 'a', state: 'exhausted', chosen: false }] }]);
  stop();
  await ask();
  expect(choices).toHaveLength(1);
});

test('a call that waits tells once that there is none, and then which one it got', async () => {
  const { ask, call, clock, guard } = poolBench([{ id: 'a', limits: { rpm: 1 } }], { maxWaitMs: 120_000 });
  await ask();
  const choices: ChoiceEvent[] = [];
  guard.on('choice', choice => choices.push(choice));
  call();
  for (let i = 0; i < 7; i++) await clock.advance(10_000);
  expect(choices.map(({ keyId }) => keyId)).toEqual([undefined, 'a']);
});
