import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { createGuardedFetch } from '../../src/fetch/index.ts';
import { redactedError } from '../../src/fetch/error.ts';
import { Redactor } from '../../src/keys/redaction.ts';
import { failureOf, setUp } from './support.ts';

const KEY = 'secret-number-one-0123456789';
const redactor = new Redactor([KEY]);

test('an error that says where the request went shows no key, and is the same error', async () => {
  const { guard } = setUp({
    retry: { enabled: false },
    keyManagement: { providers: { alphavantage: { keys: [{ id: 'one', key: KEY }] } } },
  });
  let thrown: unknown;
  const base = (input: string | URL | Request): Promise<never> => {
    const url = input as string;
    const cause = new Error(`connect to ${url}`);
    const error = Object.assign(new Error(`request to ${url} failed`, { cause }), { url: new URL(url), code: 'ECONNREFUSED' });
    thrown = error;
    return Promise.reject(error);
  };
  const fetch = createGuardedFetch(guard, { fetch: base });
  const error = await failureOf(fetch('https://www.alphavantage.co/query?apikey=guard'));
  expect(error).toBe(thrown);
  expect(error).toMatchObject({ code: 'ECONNREFUSED', message: expect.stringContaining('/query?apikey=') as string });
  expect(inspect(error)).not.toContain(KEY);
});

describe('redacting an error', () => {
  test('reaches lists of errors and rings of causes', () => {
    const inner = new Error(KEY);
    const error = new AggregateError([inner, KEY, 7], 'several');
    inner.cause = error;
    expect(redactedError(error, redactor)).toBe(error);
    expect(inspect(error, { depth: 20 })).not.toContain(KEY);
  });

  test('puts another in the place of one that cannot be changed', () => {
    const error = redactedError(Object.freeze(new RangeError(`at ${KEY}`)), redactor);
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toHaveProperty('name', 'RangeError');
    expect(inspect(error)).not.toContain(KEY);
  });

  test('leaves what holds no key as it is', () => {
    const frozen = Object.freeze(new Error('nothing', { cause: [1, 'two'] }));
    expect(redactedError(frozen, redactor)).toBe(frozen);
    expect(redactedError(7, redactor)).toBe(7);
  });
});
