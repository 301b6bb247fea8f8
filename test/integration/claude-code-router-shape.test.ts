import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  canMakeRequest,
  executionGuard,
  ExecutionGuard,
  guardedExecute,
  isProviderHealthy,
  type ExecutionGuardConfig,
  type ExecutionStats,
  type KeyProviderConfig,
  type ProviderStatus,
  type RateLimitRule,
} from '../../src/index.ts';
import { fakeOpenAIKey, startOpenAI, type OpenAIServer } from '../support/loopback/index.ts';
import { isRecord } from '../support/loopback/json.ts';
import { opened } from './harness.ts';

const PRESETS: Readonly<Record<string, ExecutionGuardConfig>> = {
  economy: { minDelayMs: 1500, maxQueueSize: 100, initialBackoffMs: 3000, maxRetries: 3 },
  balanced: { minDelayMs: 500, maxQueueSize: 200, initialBackoffMs: 1000, maxRetries: 5 },
  'high-throughput': { minDelayMs: 200, maxQueueSize: 500, initialBackoffMs: 500, maxRetries: 2 },
};

interface Incoming {
  readonly method: string;
  readonly url: string;
  readonly ip: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
  readonly sessionId?: string | undefined;
}

/** A small router, written the way routers use the guard. */
function router(upstream: string): RequestListener {
  const json = (response: ServerResponse, status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };

  async function chat(req: Incoming, response: ServerResponse): Promise<void> {
    if (!canMakeRequest(req)) {
      json(response, 429, { error: 'slow down' });
      return;
    }
    const body = isRecord(req.body) ? req.body : {};
    let provider = 'openai-by-default';
    const answer = await guardedExecute(
      async ({ apiKey }) => {
        provider = 'openai';
        return fetch(`${upstream}/v1/chat/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKey ?? ''}` },
          body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: body.prompt }] }),
        });
      },
      { req, providerName: () => provider, skipDeduplication: body.fresh === true },
    );
    json(response, answer.status, await answer.json());
  }

  /** Answers by itself, and has the guard watch. */
  async function bySideEffect(req: Incoming, response: ServerResponse): Promise<void> {
    await guardedExecute(
      async () => {
        await Promise.resolve();
        json(response, 200, { answered: true });
      },
      { req, providerName: 'openai' },
    );
  }

  function stats(_req: Incoming, response: ServerResponse): void {
    const { deduplication, queue, retry, rateLimiting, providers } = executionGuard.getStats();
    const { burstUsage } = rateLimiting.rulesUsage;
    json(response, 200, {
      hitRate: `${(deduplication.cacheHitRate * 100).toFixed(1)}%`,
      memory: `${(deduplication.memoryUsage / 1024).toFixed(2)} KB`,
      wait: `${queue.averageWaitTime.toFixed(0)} ms`,
      burst: `${burstUsage.current.toFixed(0)}/${burstUsage.limit.toFixed(0)} (${burstUsage.percentage.toFixed(0)}%)`,
      breaker: rateLimiting.circuitBreakerState,
      retries: retry.totalRetries.toFixed(0),
      providers: Object.values(providers).map((status: ProviderStatus) => ({
        name: status.name,
        healthy: isProviderHealthy(status.name),
        inRecovery: executionGuard.isProviderInRecovery(status.name),
        time: status.responseTime?.toFixed(0),
        errors: status.errorRate?.toFixed(2),
      })),
    });
  }

  function update({ body }: Incoming, response: ServerResponse): void {
    const { action, preset, config } = isRecord(body) ? body : {};
    const change = action === 'update-preset' ? PRESETS[String(preset)] : config;
    if (isRecord(change)) {
      executionGuard.updateConfig(change);
      json(response, 200, { success: true, config: executionGuard.getConfig() });
    } else {
      json(response, 400, { error: 'unknown preset' });
    }
  }

  function reset({ body }: Incoming, response: ServerResponse): void {
    const component = isRecord(body) ? body.component : undefined;
    if (component === 'circuit-breaker') executionGuard.resetCircuitBreaker();
    else if (component === 'cache') executionGuard.clearCache();
    else if (component === 'all') ExecutionGuard.clearAllData();
    json(response, 200, { success: true });
  }

  const routes: Readonly<Record<string, (req: Incoming, response: ServerResponse) => Promise<void> | void>> = {
    'POST /chat': chat,
    'POST /side-effect': bySideEffect,
    'GET /api/execution-guard/stats': stats,
    'GET /api/execution-guard/health': (_req, response) =>
      json(response, 200, { healthy: isProviderHealthy('openai') }),
    'GET /api/v1/mission-control/execution-guard-config': (_req, response) =>
      json(response, 200, executionGuard.getConfig()),
    'POST /api/v1/mission-control/update-execution-guard': update,
    'POST /api/execution-guard/reset': reset,
  };

  async function handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of incoming as AsyncIterable<Buffer>) parts.push(part);
    const text = Buffer.concat(parts).toString();
    const body: unknown = text === '' ? undefined : JSON.parse(text);
    const { method = 'GET', url = '/', headers } = incoming;
    const session = headers['x-session'];
    const req: Incoming = {
      method,
      url,
      headers,
      body,
      ip: incoming.socket.remoteAddress ?? '',
      ...(typeof session === 'string' && { sessionId: session }),
    };
    const route = routes[`${method} ${url}`];
    if (route) await route(req, response);
    else json(response, 404, { error: 'no such route' });
  }

  return (incoming, response) => {
    handle(incoming, response).catch((error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      const limited = message.includes('Rate limit exceeded') || message.includes('Queue full');
      json(response, limited ? 429 : message.includes('Circuit breaker is OPEN') ? 503 : 502, { error: message });
    });
  };
}

/** What the old configuration file of a router holds. */
const OLD_CONFIG = {
  enabled: true,
  deduplication: { enabled: true, ttlSeconds: 30, maxCacheSize: 1000, excludeEndpoints: ['/api/analytics'] },
  rateLimiting: { enabled: true, rules: { burst: { requests: 10, windowMs: 10_000 } } },
  circuitBreaker: { enabled: true, failureThreshold: 2, recoveryTimeMs: 60_000 },
  queue: { enabled: true, minDelayMs: 0, maxQueueSize: 100 },
  retry: { enabled: true, maxRetries: 0, initialBackoffMs: 1000, maxBackoffMs: 30_000, jitterMs: 500 },
  fallback: { enabled: true, recoveryWindowMs: 60_000 },
} satisfies ExecutionGuardConfig;

const POOL: KeyProviderConfig = {
  keys: [fakeOpenAIKey('a'), process.env.NO_SUCH_KEY, fakeOpenAIKey('b')],
  strategy: 'round-robin',
  fallbackBehavior: 'fail',
};

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

describe('a router that swapped its import', () => {
  let server: OpenAIServer;
  let call: (method: string, path: string, body?: unknown, session?: string) => Promise<Answer>;

  beforeEach(async () => {
    server = opened(
      await startOpenAI({
        organisations: { org: {} },
        keys: { [fakeOpenAIKey('a')]: { organisation: 'org' }, [fakeOpenAIKey('b')]: { organisation: 'org' } },
      }),
    );
    const http = createServer(router(server.url));
    await new Promise<void>(resolve => {
      http.listen(0, '127.0.0.1', resolve);
    });
    opened({
      close: () =>
        new Promise<void>(resolve => {
          http.close(() => resolve());
          http.closeAllConnections();
        }),
    });
    const address = http.address();
    if (address === null || typeof address === 'string') throw new Error('the router has no port');
    call = async (method, path, body, session) => {
      const response = await fetch(`http://127.0.0.1:${address.port}${path}`, {
        method,
        ...(body !== undefined && { body: JSON.stringify(body) }),
        headers: { ...(session !== undefined && { 'x-session': session }) },
      });
      return { status: response.status, body: await response.json() };
    };
    // A key that is not set is left out with a warning.
    vi.spyOn(process, 'emitWarning').mockReturnValue();
    executionGuard.updateConfig({ ...OLD_CONFIG, keyManagement: { enabled: true, providers: { openai: POOL } } });
  });

  // The guard is one for the whole process: the next test must find it as new.
  afterEach(() => {
    executionGuard.updateConfig({ ...OLD_CONFIG, keyManagement: { providers: {} } });
    executionGuard.resetCircuitBreaker();
    executionGuard.clearAllRecords();
    vi.restoreAllMocks();
  });

  const stats = (): ExecutionStats => executionGuard.getStats();

  test('answers, deduplicates and asks afresh', async () => {
    expect(await call('POST', '/chat', { prompt: 'one' })).toMatchObject({
      status: 200,
      body: { choices: [{ message: { content: 'You said: one' } }] },
    });
    expect((await call('POST', '/chat', { prompt: 'two', fresh: true })).status).toBe(200);
    // A Response cannot be shared, so equal calls each get their own.
    await Promise.all([call('POST', '/chat', { prompt: 'same' }), call('POST', '/chat', { prompt: 'same' })]);
    expect(server.requests.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  });

  test('answers by side effect, each caller its own', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => call('POST', '/side-effect', { prompt: 'same' })));
    expect(answers).toEqual([1, 2, 3].map(() => ({ status: 200, body: { answered: true } })));
  });

  test('books a call on the provider its name function speaks of afterwards', async () => {
    server.setOutage('overloaded');
    expect((await call('POST', '/chat', { prompt: 'one' })).status).toBe(503);
    expect(stats().providers.openai).toMatchObject({ failureCount: 1, inRecovery: true, isOnline: false });
    expect(await call('GET', '/api/execution-guard/health')).toEqual({ status: 200, body: { healthy: false } });
    server.setOutage(undefined);
    await call('POST', '/chat', { prompt: 'two' });
    expect(await call('GET', '/api/execution-guard/health')).toEqual({ status: 200, body: { healthy: true } });
  });

  test('returns a Response that says 429 as it is', async () => {
    server.setOutage('insufficient_quota');
    expect(await call('POST', '/chat', { prompt: 'one' })).toMatchObject({
      status: 429,
      body: { error: { code: 'insufficient_quota' } },
    });
  });

  test('is limited per session, and asking does not count', async () => {
    for (let request = 0; request < 10; request++) {
      expect((await call('POST', '/chat', { prompt: `${request}` }, 'alice')).status).toBe(200);
    }
    expect(await call('POST', '/chat', { prompt: 'more' }, 'alice')).toEqual({
      status: 429,
      body: { error: 'slow down' },
    });
    expect((await call('POST', '/chat', { prompt: 'more' }, 'bob')).status).toBe(200);
    expect(await call('POST', '/side-effect', {}, 'alice')).toEqual({
      status: 429,
      body: { error: expect.stringMatching(/^Rate limit exceeded: 10 requests per 10s\. /) as unknown },
    });
  });

  test('stops at an open breaker until it is reset', async () => {
    server.setOutage('overloaded');
    for (let request = 0; request < 2; request++) {
      expect(await call('POST', '/chat', { prompt: 'one' })).toMatchObject({
        status: 503,
        body: { error: { code: 'server_is_overloaded' } },
      });
    }
    server.setOutage(undefined);
    expect(await call('POST', '/chat', { prompt: 'two' })).toEqual({
      status: 503,
      body: { error: expect.stringMatching(/^Circuit breaker is OPEN - service temporarily unavailable/) as unknown },
    });
    expect(server.requests).toHaveLength(2);
    expect((await call('POST', '/api/execution-guard/reset', { component: 'circuit-breaker' })).status).toBe(200);
    expect((await call('POST', '/chat', { prompt: 'three' })).status).toBe(200);
  });

  test('shows statistics as text, before the first call and after', async () => {
    executionGuard.clearAllRecords();
    expect(await call('GET', '/api/execution-guard/stats')).toMatchObject({
      status: 200,
      body: { memory: '0.00 KB', burst: '0/10 (0%)', breaker: 'CLOSED' },
    });
    await call('POST', '/chat', { prompt: 'one' });
    await call('POST', '/chat', { prompt: 'two' });
    const { body } = await call('GET', '/api/execution-guard/stats');
    expect(body).toMatchObject({ burst: '2/10 (20%)', breaker: 'CLOSED' });
    expect(JSON.stringify(body)).not.toMatch(/NaN|undefined|Infinity/);
    expect(isRecord(body) && body.providers).toContainEqual(
      expect.objectContaining({ name: 'openai', healthy: true, inRecovery: false }),
    );
  });

  test.each(Object.entries(PRESETS))('takes the preset %s from the widget', async (preset, knobs) => {
    const path = '/api/v1/mission-control/update-execution-guard';
    const { status, body } = await call('POST', path, { action: 'update-preset', preset });
    expect(status).toBe(200);
    const { minDelayMs, maxQueueSize, initialBackoffMs, maxRetries } = knobs;
    expect(executionGuard.getConfig()).toMatchObject({
      queue: { minDelayMs, maxQueueSize },
      retry: { initialBackoffMs, maxRetries },
      // What the widget does not name stays.
      circuitBreaker: { failureThreshold: 2 },
    });
    expect(JSON.stringify(body)).not.toContain('FAKE');
  });

  test('takes flat knobs, and refuses nonsense without changing anything', async () => {
    const path = '/api/v1/mission-control/update-execution-guard';
    const config = { minDelayMs: 1, initialBackoffMs: 2, maxQueueSize: 3, maxRetries: 4 };
    expect((await call('POST', path, { action: 'update-custom', config })).status).toBe(200);
    expect(await call('GET', '/api/v1/mission-control/execution-guard-config')).toMatchObject({
      body: { queue: { minDelayMs: 1, maxQueueSize: 3 }, retry: { initialBackoffMs: 2, maxRetries: 4 } },
    });
    const before = executionGuard.getConfig();
    const nonsense = { action: 'update-custom', config: { maxRetries: -1 } };
    expect(await call('POST', path, nonsense)).toMatchObject({ status: 502 });
    expect(executionGuard.getConfig()).toEqual(before);
  });

  test('sends the configuration back as the widget got it, and the keys still work', async () => {
    const { body } = await call('GET', '/api/v1/mission-control/execution-guard-config');
    const path = '/api/v1/mission-control/update-execution-guard';
    expect(await call('POST', path, { action: 'update-custom', config: body })).toMatchObject({ status: 200 });
    expect((await call('POST', '/chat', { prompt: 'one' })).status).toBe(200);
  });

  test.each(['circuit-breaker', 'cache', 'all'])('resets %s', async component => {
    await call('POST', '/chat', { prompt: 'one' });
    expect((await call('POST', '/api/execution-guard/reset', { component })).status).toBe(200);
    expect(stats().rateLimiting.totalRequestsTracked).toBe(component === 'all' ? 0 : 1);
  });

  test('leaves a provider alone that has no pool', async () => {
    const seen: unknown[] = [];
    await guardedExecute(({ apiKey }) => Promise.resolve(seen.push(apiKey)), { providerName: 'deepseek' });
    await guardedExecute(() => Promise.resolve(seen.push('nothing')));
    expect(seen).toEqual([undefined, 'nothing']);
  });

  test('speaks of the types the old file exported', () => {
    const rule: RateLimitRule = { requests: 1, windowMs: 1000 };
    executionGuard.updateConfig({ rateLimiting: { rules: { burst: rule } } });
    expect(executionGuard.getConfig().rateLimiting.rules.burst).toEqual(rule);
    expect(ExecutionGuard.getInstance().getConfig()).toEqual(executionGuard.getConfig());
  });
});
