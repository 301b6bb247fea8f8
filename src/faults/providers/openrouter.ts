import { HOUR_MS, lasting } from '../durations.ts';
import type { Evidence, FaultProfile } from '../fault.ts';
import { after, parseReset } from '../reset.ts';
import { isRecord, property } from '../safe-read.ts';

const ERRORS = 'https://openrouter.ai/docs/api-reference/errors';
const LIMITS = 'https://openrouter.ai/docs/api-reference/limits';

/** OpenRouter. Once a model has begun, an error comes as a 200 with `error` in the body or in the choice. */
export const openrouter: FaultProfile = {
  name: 'openrouter',
  providers: ['*openrouter*', '*open-router*', '*open_router*'],
  hosts: ['openrouter.ai', '.openrouter.ai'],
  errorInSuccess,
  rules: [
    {
      name: 'authentication',
      source: ERRORS,
      match: { code: 'authentication' },
      kind: 'invalid_key',
      scope: 'key',
      action: 'disable',
    },
    {
      name: 'payment-required',
      source: ERRORS,
      match: { code: 'payment_required' },
      kind: 'billing',
      scope: 'group',
      action: 'cool',
      ...lasting(HOUR_MS),
    },
    {
      name: 'moderation',
      source: ERRORS,
      match: { code: ['moderation*', 'content_policy_violation', 'refusal'] },
      kind: 'moderated',
      scope: 'request',
      action: 'fail',
    },
    {
      name: 'provider',
      source: ERRORS,
      match: { code: 'provider_*' },
      kind: 'overloaded',
      scope: 'provider',
      action: 'breaker',
      ...untilMetadata(),
    },
    {
      // "... is temporarily rate-limited upstream": the limit is that of a provider behind, and everybody's.
      name: 'upstream-rate-limit',
      source: LIMITS,
      match: { status: 429, test: namesProvider, testMeans: 'the body names the provider behind' },
      kind: 'overloaded',
      scope: 'provider',
      action: 'breaker',
      certainty: 'likely',
      ...untilMetadata(),
    },
    {
      name: 'rate-limit',
      source: LIMITS,
      match: { code: 'rate_limit*' },
      kind: 'rate_limit',
      scope: 'group',
      action: 'cool',
      coolMs: 5000,
      ...untilMetadata(),
    },
    {
      name: 'rate-limit-status',
      source: LIMITS,
      match: { status: 429 },
      kind: 'rate_limit',
      scope: 'group',
      action: 'cool',
      certainty: 'likely',
      coolMs: 5000,
      ...untilMetadata(),
    },
    {
      name: 'invalid-key',
      source: ERRORS,
      match: { status: 401 },
      kind: 'invalid_key',
      scope: 'key',
      action: 'disable',
      certainty: 'likely',
    },
    {
      // Typed `permission_denied` it is the key's; else somebody's input was flagged.
      name: 'flagged',
      source: ERRORS,
      match: { status: 403, test: ({ body }) => !isTyped(body), testMeans: 'the error has no `error_type`' },
      kind: 'moderated',
      scope: 'request',
      action: 'fail',
      certainty: 'likely',
    },
  ],
};

/** The error of a 200, at the top or in the first choice; undefined where there is none. */
function errorInSuccess(body: unknown): unknown {
  if (isRecord(property(body, 'error'))) return body;
  const choice = property(property(body, 'choices'), '0');
  const error = property(choice, 'error');
  if (isRecord(error)) return { error };
  // A choice that ended without saying why: the provider behind broke off.
  return property(choice, 'finish_reason') === 'error' ? { error: { type: 'provider_error' } } : undefined;
}

/** The OpenAI SDK hands over the inner object alone. */
function metadataOf(body: unknown): unknown {
  return property(property(body, 'error') ?? body, 'metadata');
}

function isTyped(body: unknown): boolean {
  return typeof property(metadataOf(body), 'error_type') === 'string';
}

function namesProvider({ body }: Evidence): boolean {
  const name = property(metadataOf(body), 'provider_name');
  return typeof name === 'string' && name !== '';
}

function untilMetadata(): { until: (evidence: Evidence, now: number) => number | undefined; untilMeans: string } {
  return { until: saidInMetadata, untilMeans: 'the time in `error.metadata`, else in the headers' };
}

/** `retry_after_seconds`, or the headers OpenRouter wraps into the body: `X-RateLimit-Reset` in epoch ms. */
function saidInMetadata({ body }: Evidence, now: number): number | undefined {
  const metadata = metadataOf(body);
  const seconds = property(metadata, 'retry_after_seconds');
  if (typeof seconds === 'number') return after(seconds * 1000, now);
  const headers = property(metadata, 'headers');
  const isUsedUp = property(headers, 'X-RateLimit-Remaining') === '0';
  const wait = property(headers, 'Retry-After') ?? (isUsedUp ? property(headers, 'X-RateLimit-Reset') : undefined);
  return typeof wait === 'string' ? parseReset(wait, now) : undefined;
}
