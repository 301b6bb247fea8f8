import { describe, expect, test } from 'vitest';
import { nearest } from '../../../src/guard/config/nearest.ts';

const OPTIONS = ['enabled', 'retry', 'queue', 'maxRetries', 'minDelayMs', 'round-robin'];

describe('nearest', () => {
  test.each([
    ['rety', 'retry'],
    ['rtery', 'retry'],
    ['Retry', 'retry'],
    ['max_retries', 'maxRetries'],
    ['maxRetry', 'maxRetries'],
    ['minDelay', 'minDelayMs'],
    ['roundrobin', 'round-robin'],
    ['enable', 'enabled'],
  ])('%s means %s', (name, meant) => {
    expect(nearest(name, OPTIONS)).toBe(meant);
  });

  test.each(['', 'cache', 'sk-proj-abcdef', 'providers', 'r'.repeat(100_000)])('%.20s means none of them', name => {
    expect(nearest(name, OPTIONS)).toBeUndefined();
  });
});
