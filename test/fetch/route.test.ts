import { describe, expect, test } from 'vitest';
import { Router, type Route } from '../../src/fetch/route.ts';
import { setUp } from './support.ts';

const KEYS = { keys: [{ id: 'ann', key: 'some-secret-key' }] };

interface Request {
  readonly url: string;
  readonly key?: string;
  readonly pools?: readonly string[];
  readonly provider?: string;
  readonly route?: Route;
}

function routed({ url, key, pools = [], provider, route }: Request): string | undefined {
  const { guard } = setUp({
    keyManagement: { providers: Object.fromEntries(pools.map(pattern => [pattern, KEYS])) },
  });
  const headers = new Headers(key === undefined ? {} : { authorization: `Bearer ${key}` });
  return new Router(guard, provider, route).destinationOf({ url: new URL(url), headers })?.provider;
}

const OPENAI = 'https://api.openai.com/v1/models';
const GEMINI = 'https://generativelanguage.googleapis.com/v1beta/models';
const AZURE = 'https://mine.openai.azure.com/openai/v1/models';
const ELSEWHERE = 'https://llm.test/v1/models';

describe('who a request belongs to', () => {
  test.each<[string, Request, string | undefined]>([
    ['the provider that is given', { url: OPENAI, key: 'guard:b', provider: 'a', route: () => 'c' }, 'a'],
    ['what the route says', { url: OPENAI, key: 'guard:b', route: ({ url }) => url.hostname }, 'api.openai.com'],
    ['the name in the placeholder', { url: OPENAI, key: 'guard:b', pools: ['openai'], route: () => undefined }, 'b'],
    ['the name in the placeholder, in a query', { url: `${ELSEWHERE}?key=guard:gemini` }, 'gemini'],
    ['the host, where it has a pool', { url: OPENAI, key: 'sk-mine', pools: ['openai'] }, 'openai'],
    ['the host, without any key', { url: OPENAI, pools: ['*open*'] }, 'openai'],
    ['the host, by its full name', { url: GEMINI, pools: ['google-gemini'] }, 'google-gemini'],
    ['the host, by another name', { url: 'https://api.polygon.io/v1', pools: ['polygon'] }, 'polygon'],
    ['the host, where a pool is for everybody', { url: OPENAI, pools: ['*'] }, 'openai'],
    ['nobody, where the host has no pool', { url: OPENAI, key: 'sk-mine', pools: ['gemini'] }, undefined],
    ['nobody, where the pool is another provider\'s', { url: AZURE, key: 'sk-mine', pools: ['openai'] }, undefined],
    ['nobody, where nobody knows the host', { url: ELSEWHERE, key: 'sk-mine', pools: ['*'] }, undefined],
    ['nobody, where a parameter happens to say guard', { url: `${ELSEWHERE}?key=guard` }, undefined],
  ])('%s', (_, request, provider) => {
    expect(routed(request)).toBe(provider);
  });
});
