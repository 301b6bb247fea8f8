import { expect, test } from 'vitest';
import { Crowding } from '../../src/keys/crowding.ts';

const NOW = Date.UTC(2026, 10, 20, 12);

function crowding(admitted: readonly number[], refused: readonly number[]): Crowding {
  const seen = new Crowding(NOW);
  for (const others of admitted) seen.admitted(others, NOW);
  for (const others of refused) seen.refused(others);
  return seen;
}

test('refusals of what had as many beside it as were ever let through may be for that', () => {
  expect(crowding([0, 1, 2], [3, 3, 4]).isLikely).toBe(true);
  // Answers that are on their way are under way here, and over there.
  expect(crowding([0, 1, 4], [3, 3, 4]).isLikely).toBe(true);
});

test('one that came alone was refused for something else', () => {
  expect(crowding([0, 1, 2], [3, 0, 4]).isLikely).toBe(false);
  expect(crowding([0], [0]).isLikely).toBe(false);
});

test('so was one that came with far fewer than were let through', () => {
  expect(crowding([9], [4]).isLikely).toBe(false);
});

test('what was seen long ago says nothing', () => {
  const seen = crowding([9], [4]);
  for (let period = 1; period <= 2; period++) seen.admitted(3, NOW + period * 300_000);
  expect(seen.isLikely).toBe(true);
  for (let refusal = 0; refusal < 8; refusal++) seen.refused(1);
  expect(seen.isLikely).toBe(false);
});
