import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { createGuardedFetch } from '../../src/fetch/index.ts';
import { redactedError } from '../../src/keys/redacted-error.ts';
import { Redactor } from '../../src/keys/redaction.ts';
import { failureOf, setUp } from '../fetch/support.ts';

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

describe('what hangs on an error', () => {
  test('is replaced by a copy where it holds a key: body, headers, lists, addresses', () => {
    const body = { error: { message: `bad ${KEY}`, code: 7 }, other: { fine: true } };
    const headers = new Headers({ 'x-echo': KEY, 'retry-after': '7' });
    const thrown = Object.assign(new Error('refused'), { body, headers, list: [[KEY], 1], url: new URL(`https://x/?key=${KEY}`) });
    const error = redactedError(thrown, redactor);
    expect(error).toBe(thrown);
    expect(inspect(error, { depth: 20 })).not.toContain(KEY);
    expect(error).toMatchObject({ body: { error: { code: 7 }, other: { fine: true } } });
    expect(thrown.headers.get('x-echo')).not.toContain(KEY);
    expect(thrown.headers.get('retry-after')).toBe('7');
    expect(body.error.message).toContain(KEY);
    expect(headers.get('x-echo')).toBe(KEY);
  });

  test('is replaced by a copy where it is a Map or a Set that holds a key', () => {
    const headers = new Map<string, unknown>([['authorization', `Bearer ${KEY}`], ['list', new Set([KEY, 'fine'])]]);
    const fine = new Map([['a', new Set(['b'])]]);
    const error = Object.assign(new Error('refused'), { headers, fine });
    redactedError(error, redactor);
    expect(inspect(error, { depth: 20 })).not.toContain(KEY);
    expect(error.headers.get('authorization')).toBe('Bearer …');
    expect(error.fine).toBe(fine);
    expect(headers.get('authorization')).toContain(KEY);
  });

  test('is left alone where it holds none, or is an object of a class', () => {
    class Client {
      readonly apiKey = KEY;
    }
    const fields = { client: new Client(), headers: new Headers({ a: 'b' }), body: { fine: true }, url: new URL('https://x/') };
    const error = Object.assign(new Error('refused'), fields);
    redactedError(error, redactor);
    expect(error).toMatchObject(fields);
    expect(error.client.apiKey).toBe(KEY);
    expect(error.body).toBe(fields.body);
    expect(error.headers).toBe(fields.headers);
  });

  test('gets through where a getter or a Proxy throws', () => {
    const error = Object.defineProperty(new Error(KEY), 'trap', {
      get: () => {
        throw new Error('trapped');
      },
    });
    expect(redactedError(error, redactor)).toBe(error);
    expect(error.message).not.toContain(KEY);
    const { proxy, revoke } = Proxy.revocable(new Error('gone'), {});
    revoke();
    expect(() => redactedError({ proxy }, redactor)).not.toThrow();
  });

  test('is not searched without end', () => {
    const deep: { next?: unknown } = {};
    let at = deep;
    for (let depth = 0; depth < 10_000; depth++) at = at.next = {};
    const wide = Array.from({ length: 20_000 }, () => ({ text: 'fine' }));
    const error = Object.assign(new Error(KEY), { deep, wide });
    expect(redactedError(error, redactor)).toBe(error);
    expect(error.message).not.toContain(KEY);
  });
});
