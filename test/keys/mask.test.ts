import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { maskSecret, secretId } from '../../src/keys/mask.ts';

describe('maskSecret', () => {
  test.each([
    ['sk-proj-abcT3BlbkFJdef', 'sk-proj-…'],
    ['sk-svcacct-abc', 'sk-svcacct-…'],
    ['sk-ant-api03-abc', 'sk-ant-…'],
    ['sk-or-v1-0123', 'sk-or-v1-…'],
    ['sk-abcT3BlbkFJ', 'sk-…'],
    ['AIzaSyA-abc', 'AIza…'],
    ['AQ.Ab8', 'AQ.…'],
    ['gsk_abc', 'gsk_…'],
    ['xai-abc', 'xai-…'],
    ['hf_abc', 'hf_…'],
    ['pplx-abc', 'pplx-…'],
    ['AKIAABCDEFGH', 'AKIA…'],
    ['0123456789abcdef', '…'],
    ['', '…'],
    ['sk-', '…'],
    ['AIza', '…'],
  ])('%s is shown as %s', (secret, shown) => {
    expect(maskSecret(secret)).toBe(shown);
  });

  test('keys of one format look alike, whatever their length and end', () => {
    fc.assert(fc.property(fc.string({ minLength: 1 }), (rest) => {
      expect(maskSecret(`gsk_${rest}`)).toBe('gsk_…');
    }));
  });
});

describe('secretId', () => {
  test('is the same for the same secret, in every process', () => {
    expect(secretId('AIzaSyA-example')).toBe(secretId('AIzaSyA-example'));
    expect(secretId('AIzaSyA-example')).toMatch(/^key-[0-9a-f]{12}$/);
    expect(secretId('a')).toBe('key-cca4cefeb2bc');
  });

  test('differs between secrets', () => {
    expect(secretId('a')).not.toBe(secretId('b'));
  });

  test('differs between all keys of a large pool', () => {
    const ids = new Set(Array.from({ length: 100_000 }, (_, i) => secretId(`bench-secret-${i}`)));
    expect(ids.size).toBe(100_000);
  });
});
