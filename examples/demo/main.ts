import { setTimeout as sleep } from 'node:timers/promises';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';
import { ExecutionGuard, systemClock } from '../../src/index.ts';
import type {
  AttemptEvent,
  BreakerEvent,
  CallContext,
  CallEvent,
  ExecutionGuardConfig,
  FailoverEvent,
  KeyEvent,
  KeyExplanation,
} from '../../src/index.ts';
import { Progress } from './progress.ts';
import { instant, report, seconds } from './report.ts';
import { CALLS, happening, KEYS, MODELS, PLAN, SPACING_MS, startServers, TROUBLES } from './scenario.ts';
import type { PlannedCall, ProviderName, Servers } from './scenario.ts';

// Nothing here tells the guard what is wrong with which key: that is for it to find out.
function guardConfig(): ExecutionGuardConfig {
  const pool = (provider: ProviderName) => ({
    keys: KEYS.filter((key) => key.provider === provider).map(({ id, group, secret }) => ({ id, group, key: secret })),
    strategy: 'round-robin' as const,
  });
  return {
    deduplication: { enabled: false },
    retry: { maxRetries: 5, initialBackoffMs: 300, jitterMs: 100 },
    keyManagement: { enabled: true, providers: { gemini: pool('gemini'), openai: pool('openai') } },
  };
}

function ask(guard: ExecutionGuard, servers: Servers, { provider, prompt }: PlannedCall): Promise<unknown> {
  const run = async ({ apiKey = '', signal }: CallContext): Promise<string> => {
    if (provider === 'gemini') {
      const client = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: servers.gemini.url } });
      const request = { model: MODELS.gemini, contents: prompt, config: { abortSignal: signal } };
      return (await client.models.generateContent(request)).text ?? '';
    }
    const client = new OpenAI({ apiKey, baseURL: `${servers.openai.url}/v1`, maxRetries: 0 });
    const request = { model: MODELS.openai, messages: [{ role: 'user' as const, content: prompt }] };
    return (await client.chat.completions.create(request, { signal })).choices[0]?.message.content ?? '';
  };
  return guard.execute(run, { providerName: provider, model: MODELS[provider], deadlineMs: 15_000 });
}

function describeChange({ keyId, group, model, from, to, reason, until }: KeyEvent): string {
  const what = group === undefined ? `key ${keyId}` : `group ${group}`;
  const where = model === undefined ? '' : ` on ${model}`;
  return `${what}${where}: ${from} -> ${to} (${reason})${until === undefined ? '' : `, until ${instant(until)}`}`;
}

function outlookOf(guard: ExecutionGuard): Map<string, KeyExplanation> {
  const explained = (['gemini', 'openai'] as const).flatMap(
    (provider) => guard.explain(provider, { model: MODELS[provider] }).keys,
  );
  return new Map(explained.map((key) => [key.id, key]));
}

async function main(): Promise<void> {
  const servers = await startServers();
  const guard = new ExecutionGuard(guardConfig());
  const startedAt = performance.now();
  const elapsed = (): number => performance.now() - startedAt;
  const progress = new Progress(CALLS);
  const calls: CallEvent[] = [];
  const attempts: AttemptEvent[] = [];
  const keyChanges: (KeyEvent & { readonly atMs: number })[] = [];
  const failovers: FailoverEvent[] = [];
  const breakerChanges: BreakerEvent[] = [];
  const note = (text: string): void => progress.note(`${seconds(elapsed()).padStart(7)}  ${text}`);

  guard.on('call', (event) => {
    calls.push(event);
    progress.ended(event.ok);
  });
  guard.on('attempt', (event) => attempts.push(event));
  guard.on('failover', (event) => failovers.push(event));
  guard.on('key', ({ until, ...change }) => {
    // A suspect may be probed at once: that is no time to wait for.
    const event = until !== undefined && until > systemClock.now() ? { ...change, until } : change;
    keyChanges.push({ ...event, atMs: elapsed() });
    note(describeChange(event));
  });
  guard.on('breaker', (event) => {
    breakerChanges.push(event);
    note(`breaker of ${event.provider}: ${event.state}`);
  });

  try {
    console.log(`${CALLS} calls to providers on this machine, with these troubles:\n`);
    for (const trouble of TROUBLES) console.log(`  ${trouble}`);
    console.log();
    const running: Promise<unknown>[] = [];
    for (const call of PLAN) {
      const what = happening(call.index, servers);
      if (what !== undefined) note(what);
      running.push(ask(guard, servers, call));
      await sleep(SPACING_MS);
    }
    await Promise.allSettled(running);
    progress.finish();
    const requests = { gemini: servers.gemini.requests, openai: servers.openai.requests };
    const breakers = { changes: breakerChanges, ...guard.getConfig().circuitBreaker };
    const seen = { keys: KEYS, calls, attempts, keyChanges, failovers, breakers, requests, outlook: outlookOf(guard) };
    console.log(`\n${report(seen)}\n\nDone in ${seconds(elapsed())}.`);
    if (calls.some(({ ok }) => !ok)) process.exitCode = 1;
  } finally {
    guard.close();
    await servers.close();
  }
}

await main();
