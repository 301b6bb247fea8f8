import type { FaultProfile, FaultRule } from '../fault.ts';

const HTTP = 'https://www.rfc-editor.org/rfc/rfc9110#section-15';
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** Comes before the rules of any provider. */
export const callerAborted: FaultRule = {
  name: 'aborted',
  source: 'https://dom.spec.whatwg.org/#aborting-ongoing-activities',
  match: { test: (evidence) => evidence.aborted },
  scope: 'request',
  action: 'fail',
  certainty: 'certain',
};

/** What a status alone says, for a provider nobody has described and after the rules of one that is. */
export const generic: FaultProfile = {
  name: 'generic',
  providers: ['*'],
  rules: [
    callerAborted,
    {
      name: 'timeout',
      source: 'https://dom.spec.whatwg.org/#dom-abortsignal-timeout',
      match: { test: (evidence) => evidence.timedOut },
      scope: 'provider',
      action: 'breaker',
      certainty: 'likely',
    },
    {
      name: 'network',
      source: 'https://nodejs.org/api/errors.html#common-system-errors',
      match: { test: (evidence) => evidence.networkCode !== undefined },
      scope: 'provider',
      action: 'breaker',
      certainty: 'likely',
    },
    {
      name: 'unauthorized',
      source: `${HTTP}.5.2`,
      match: { status: 401 },
      scope: 'key',
      action: 'probation',
    },
    {
      name: 'payment-required',
      source: `${HTTP}.5.3`,
      match: { status: 402 },
      kind: 'billing',
      scope: 'group',
      action: 'cool',
      coolMs: HOUR_MS,
      // Credit is not back because a proxy says to retry in a second.
      until: (_evidence, now) => now + HOUR_MS,
    },
    {
      name: 'forbidden',
      source: `${HTTP}.5.4`,
      match: { status: 403 },
      scope: 'key+model',
      action: 'cool',
      coolMs: 10 * MINUTE_MS,
    },
    {
      name: 'rate-limit',
      source: 'https://www.rfc-editor.org/rfc/rfc6585#section-4',
      match: { status: 429 },
      kind: 'rate_limit',
      scope: 'group+model',
      action: 'cool',
      coolMs: 5000,
    },
    {
      name: 'transient',
      source: `${HTTP}.5.9`,
      match: { status: [408, 409, 425] },
      scope: 'request',
      action: 'retry',
    },
    {
      name: 'overloaded',
      source: 'https://docs.anthropic.com/en/api/errors',
      match: { status: [503, 529] },
      scope: 'provider',
      action: 'breaker',
    },
    {
      name: 'server-error',
      source: `${HTTP}.6`,
      match: { test: ({ status = 0 }) => status >= 500 },
      kind: 'server_error',
      scope: 'provider',
      action: 'breaker',
    },
    {
      name: 'rejected',
      source: `${HTTP}.5`,
      match: { test: ({ status = 0 }) => status >= 400 },
      scope: 'request',
      action: 'fail',
    },
  ],
};
