import { nextMonth } from '../calendar.ts';
import { HOUR_MS, lasting, untilNextMonth } from '../durations.ts';
import type { Evidence, FaultProfile } from '../fault.ts';
import { anthropicRateLimit } from '../limits.ts';
import { readBody } from '../read-body.ts';

const ERRORS = 'https://docs.claude.com/en/api/errors';
const RATE_LIMITS = 'https://docs.claude.com/en/api/rate-limits';
const WORKSPACES = 'https://docs.claude.com/en/api/administration-api';
const CORS = 'https://github.com/anthropics/anthropic-sdk-typescript#requirements';

/** "You will regain access on 2026-12-01 at 00:00 UTC." */
const REGAIN_ACCESS = /\bregain access on (\d{4}-\d\d-\d\d) at (\d\d:\d\d) UTC\b/i;

/** The Anthropic API. Quotas belong to the organization, whose id is in `anthropic-organization-id`. */
export const anthropic: FaultProfile = {
  name: 'anthropic',
  providers: ['*anthropic*', '*claude*'],
  hosts: ['api.anthropic.com'],
  limits: ['requests', 'tokens', 'input-tokens', 'output-tokens'].map(anthropicRateLimit),
  rules: [
    {
      // A call from a browser without the header that allows it: no key would do better.
      name: 'cors',
      source: CORS,
      match: { status: 401, message: /\bCORS\b/ },
      kind: 'rejected',
      scope: 'request',
      action: 'fail',
      certainty: 'likely',
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
      name: 'organization-disabled',
      source: ERRORS,
      match: { status: 400, message: /\borgani[sz]ation (?:has been|is) (?:\w+ )?(?:disabled|on hold)\b/i },
      kind: 'account_disabled',
      scope: 'group',
      action: 'disable',
      certainty: 'likely',
    },
    {
      name: 'credit-too-low',
      source: ERRORS,
      match: { status: 400, message: /\bcredit balance is too low\b/i },
      kind: 'billing',
      scope: 'group',
      action: 'cool',
      certainty: 'likely',
      ...lasting(HOUR_MS),
    },
    {
      name: 'billing',
      source: ERRORS,
      match: { code: 'billing_error' },
      scope: 'group',
      action: 'cool',
      ...lasting(HOUR_MS),
    },
    {
      name: 'usage-limit',
      source: WORKSPACES,
      match: { status: 400, message: /\breached your specified (?:[\w-]+ ){0,3}usage limits?\b/i },
      kind: 'spend_limit',
      scope: 'group',
      action: 'cool',
      certainty: 'likely',
      until: ({ body, text }, now) => accessRegainedAt(readBody(body).message ?? text) ?? nextMonth(now, 'UTC'),
      untilMeans: 'the date in the message, else the 1st of the next month, UTC',
    },
    {
      // Has no retry-after: usage is paused until the month is over.
      name: 'enforced-spend-limit',
      source: RATE_LIMITS,
      match: { code: 'enforced_spend_limit_reached' },
      kind: 'spend_limit',
      scope: 'group',
      action: 'cool',
      ...untilNextMonth('UTC'),
    },
    {
      name: 'rate-limit',
      source: RATE_LIMITS,
      match: { test: isRateLimit, testMeans: 'status 429, or `rate_limit_error` in a stream' },
      kind: 'rate_limit',
      scope: 'group+model',
      action: 'cool',
      certainty: 'likely',
      coolMs: 15_000,
    },
    {
      name: 'permission',
      source: ERRORS,
      match: { code: 'permission_error' },
      scope: 'key+model',
      action: 'cool',
      coolMs: HOUR_MS,
    },
    {
      // An overload may also come as an event in the middle of a stream.
      name: 'overloaded',
      source: ERRORS,
      match: { code: ['overloaded_error', 'api_error', 'timeout_error'] },
      scope: 'provider+model',
      action: 'breaker',
    },
    {
      name: 'server-error',
      source: ERRORS,
      match: { status: [500, 504, 529] },
      kind: 'overloaded',
      scope: 'provider+model',
      action: 'breaker',
      certainty: 'likely',
    },
  ],
};

function isRateLimit({ status, body }: Evidence): boolean {
  return status === 429 || (status === undefined && readBody(body).codes.includes('rate_limit_error'));
}

function accessRegainedAt(text: string): number | undefined {
  const [, day, time] = REGAIN_ACCESS.exec(text) ?? [];
  return day === undefined || time === undefined ? undefined : Date.parse(`${day}T${time}Z`);
}
