import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { profileFor, profileForHost, profiles } from '../../src/faults/profiles.ts';

describe('profileFor', () => {
  test.each([
    ['gemini', 'gemini'],
    ['google-gemini', 'gemini'],
    ['Gemini-2.5-Flash', 'gemini'],
    ['my/google/keys', 'gemini'],
    ['google-vertex', 'vertex'],
    ['vertex-gemini', 'vertex'],
    ['openai', 'openai'],
    ['my-openai-eu', 'openai'],
    ['gpt-4o', 'openai'],
    ['chatgpt', 'generic'],
    ['azure-openai', 'azure'],
    ['AzureOpenAI', 'azure'],
    ['anthropic', 'anthropic'],
    ['claude-sonnet-4', 'anthropic'],
    ['bedrock-claude', 'bedrock'],
    ['vertex/claude', 'vertex'],
    ['openrouter', 'openrouter'],
    ['openrouter/anthropic/claude-sonnet-4', 'openrouter'],
    ['mistral', 'mistral'],
    ['codestral', 'mistral'],
    ['groq-mistral', 'groq'],
    ['together-deepseek', 'together'],
    ['fireworks-ai', 'fireworks'],
    ['deepseek', 'deepseek'],
    ['cohere', 'cohere'],
    ['groq', 'groq'],
    ['grok-4', 'xai'],
    ['xai', 'xai'],
    ['x-ai/grok', 'xai'],
    ['my-xai-pool', 'xai'],
    ['maxair', 'generic'],
    ['alpha-vantage', 'alphavantage'],
    ['AlphaVantage', 'alphavantage'],
    ['polygon', 'massive'],
    ['massive', 'massive'],
    ['finnhub', 'finnhub'],
    ['quandl', 'nasdaq'],
    ['nasdaq-data-link', 'nasdaq'],
    ['binance-spot', 'binance'],
    ['kraken', 'kraken'],
    ['coinbase', 'coinbase'],
    ['', 'generic'],
    ['constructor', 'generic'],
    ['__proto__', 'generic'],
    ['toString', 'generic'],
    ['a\nb', 'generic'],
  ])('%s is read as %s', (provider, profile) => {
    expect(profileFor(provider).name).toBe(profile);
    expect(profileFor(provider).name).toBe(profile);
  });

  test('a declared name wins over the name of the provider', () => {
    expect(profileFor('openai', 'gemini').name).toBe('gemini');
    expect(profileFor('openai', 'generic').name).toBe('generic');
    for (const profile of profiles) expect(profileFor('mine', profile.name)).toBe(profile);
  });

  test('a profile may be declared by the name its provider used to have', () => {
    expect(profileFor('mine', 'polygon').name).toBe('massive');
    expect(profileFor('mine', 'quandl').name).toBe('nasdaq');
  });

  test('a profile of one\'s own is taken as it is', () => {
    const own = { name: 'own', providers: [], rules: [] };
    expect(profileFor('openai', own)).toBe(own);
  });

  test.each(['gemeni', 'constructor', '__proto__', ''])('an unknown name, "%s", is an error', (name) => {
    expect(() => profileFor('openai', name)).toThrow(
      `Unknown fault profile "${name}". Known profiles: alphavantage, anthropic, azure, bedrock, binance, cohere, ` +
        'coinbase, deepseek, finnhub, fireworks, gemini, generic, groq, kraken, massive, mistral, nasdaq, openai, ' +
        'openrouter, polygon, quandl, together, vertex, xai.',
    );
  });

  test('a crowd of names changes no answer', () => {
    for (let n = 0; n < 2500; n++) expect(profileFor(`claude-${n}`).name).toBe('anthropic');
    expect(profileFor('openai').name).toBe('openai');
  });
});

describe('profileForHost', () => {
  test.each([
    ['generativelanguage.googleapis.com', 'gemini'],
    ['api.openai.com', 'openai'],
    ['API.OpenAI.com:443', 'openai'],
    ['api.openai.com.', 'openai'],
    ['my-resource.openai.azure.com', 'azure'],
    ['my-resource.services.ai.azure.com', 'azure'],
    ['api.anthropic.com', 'anthropic'],
    ['aiplatform.googleapis.com', 'vertex'],
    ['europe-west4-aiplatform.googleapis.com', 'vertex'],
    ['aiplatform.eu.rep.googleapis.com', 'vertex'],
    ['bedrock-runtime.us-east-1.amazonaws.com', 'bedrock'],
    ['bedrock-runtime.cn-north-1.amazonaws.com.cn', 'bedrock'],
    ['api.mistral.ai', 'mistral'],
    ['codestral.mistral.ai', 'mistral'],
    ['api.deepseek.com', 'deepseek'],
    ['api.cohere.com', 'cohere'],
    ['api.groq.com', 'groq'],
    ['api.x.ai', 'xai'],
    ['us-east-1.api.x.ai', 'xai'],
    ['openrouter.ai', 'openrouter'],
    ['api.together.xyz', 'together'],
    ['api.fireworks.ai', 'fireworks'],
    ['www.alphavantage.co', 'alphavantage'],
    ['api.polygon.io', 'massive'],
    ['api.massive.com', 'massive'],
    ['finnhub.io', 'finnhub'],
    ['data.nasdaq.com', 'nasdaq'],
    ['api.binance.com', 'binance'],
    ['api3.binance.com', 'binance'],
    ['api-gcp.binance.com', 'binance'],
    ['fapi.binance.com', 'binance'],
    ['api.kraken.com', 'kraken'],
    ['api.coinbase.com', 'coinbase'],
  ])('%s is %s', (host, profile) => {
    expect(profileForHost(host)?.name).toBe(profile);
  });

  test.each([
    '',
    'example.com',
    'api.openai.com.example.com',
    'notapi.openai.com',
    '.openai.azure.com',
    'openai.azure.com.example.com',
    'evil.com-aiplatform.googleapis.com.example.com',
    'bedrock-runtime.a.b.amazonaws.com',
    'bedrock-runtime.us-east-1.amazonaws.com.example.com',
    'apixbinance.com',
    'http://api.openai.com/v1',
    '__proto__',
    '[::1]:8080',
  ])('%s is nobody\'s', (host) => {
    expect(profileForHost(host)).toBeUndefined();
  });

  test('no host leads to a profile by what stands around it', () => {
    const written = profiles.flatMap(({ hosts = [] }) => hosts).filter((host) => !host.includes('*'));
    fc.assert(
      fc.property(fc.constantFrom(...written), fc.domain(), (host, domain) => {
        expect(profileForHost(`${host}.${domain}`)).toBeUndefined();
      }),
    );
  });
});
