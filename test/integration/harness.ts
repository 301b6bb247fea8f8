import { GoogleGenAI, type GenerateContentResponse } from '@google/genai';
import OpenAI from 'openai';
import { afterEach } from 'vitest';
import {
  ExecutionGuard,
  type CallContext,
  type ExecutionGuardConfig,
  type GuardEnvironment,
  type KeyReport,
} from '../../src/index.ts';
import { ManualClock, settle } from '../support/manual-clock.ts';

export const FLASH = 'gemini-2.5-flash';
export const MINUTE_MS = 60_000;

/** Always the middle: back-off and jitter are the same in every run. */
const random = (): number => 0.5;

export interface Setup {
  readonly guard: ExecutionGuard;
  readonly clock: ManualClock;
  readonly warnings: string[];
  /** Waits for a call, or several, moving the clock only while all of them wait for time to pass. */
  readonly finish: <T>(...calls: Promise<T>[]) => Promise<PromiseSettledResult<T>[]>;
  /** The value of one call. */
  readonly answer: <T>(call: Promise<T>) => Promise<T>;
}

const open: { close(): unknown }[] = [];

/** Closes whatever was opened in a test. */
export function opened<T extends { close(): unknown }>(closable: T): T {
  open.push(closable);
  return closable;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map(each => each.close()));
});

export function setUp(
  config: ExecutionGuardConfig,
  clock = new ManualClock(),
  environment: GuardEnvironment = {},
): Setup {
  const warnings: string[] = [];
  const warn = (message: string): void => void warnings.push(message);
  const guard = opened(new ExecutionGuard(config, { clock, random, env: {}, warn, ...environment }));
  let waiting = 0;
  guard.on('queue', ({ what }) => {
    if (what === 'waiting') waiting++;
    if (what === 'started') waiting--;
  });

  const finish = async <T>(...calls: Promise<T>[]): Promise<PromiseSettledResult<T>[]> => {
    let outstanding = calls.length;
    const left = (): void => {
      outstanding--;
    };
    for (const call of calls) void call.then(left, left);
    while (outstanding > 0) await (waiting > 0 && waiting === outstanding ? clock.advance(100) : settle());
    return Promise.allSettled(calls);
  };
  const answer = async <T>(call: Promise<T>): Promise<T> => {
    await finish(call);
    return call;
  };
  return { guard, clock, warnings, finish, answer };
}

/** What the promise rejects with. */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('the call succeeded');
}

/** The states of a pool's keys by id. */
export function statesOf(guard: ExecutionGuard, pool: string): Record<string, string> {
  return Object.fromEntries(reportsOf(guard, pool).map(({ id, state }) => [id, state]));
}

export function reportsOf(guard: ExecutionGuard, pool: string): readonly KeyReport[] {
  return guard.getStats().keys[pool]?.keys ?? [];
}

export function inFlight(guard: ExecutionGuard, pool: string): number {
  return reportsOf(guard, pool).reduce((sum, key) => sum + key.inFlight, 0);
}

/** The client a callback makes for its attempt. */
export function gemini(baseUrl: string, { apiKey }: Pick<CallContext, 'apiKey'>): GoogleGenAI {
  return new GoogleGenAI({ apiKey: apiKey ?? 'no key', httpOptions: { baseUrl } });
}

/** A callback that asks Gemini a question. */
export function ask(baseUrl: string, contents = 'hello', model = FLASH) {
  return (context: CallContext): Promise<GenerateContentResponse> =>
    gemini(baseUrl, context).models.generateContent({
      model,
      contents,
      config: { abortSignal: context.signal },
    });
}

/** The client a callback makes for its attempt; the guard retries, so the SDK does not. */
export function openAI(url: string, { apiKey }: Pick<CallContext, 'apiKey'>): OpenAI {
  return new OpenAI({ apiKey: apiKey ?? 'no key', baseURL: `${url}/v1`, maxRetries: 0 });
}

/** A callback that has OpenAI complete a chat. */
export function chat(url: string, content = 'hello', model = 'gpt-4o') {
  return (context: CallContext): Promise<OpenAI.ChatCompletion> =>
    openAI(url, context).chat.completions.create(
      { model, messages: [{ role: 'user', content }] },
      { signal: context.signal },
    );
}
