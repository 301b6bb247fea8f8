import { HOUR_MS, lasting, MINUTE_MS } from '../durations.ts';
import type { FaultProfile, FaultRule } from '../fault.ts';

const HTTP = 'https://www.rfc-editor.org/rfc/rfc9110#section-15';

/** Comes before the rules of any provider. */
export const callerAborted: FaultRule = {
  name: 'aborted',
  source: 'https://dom.spec.whatwg.org/#aborting-ongoing-activities',
  match: { test: (evidence) => evidence.aborted, testMeans: 'the caller aborted' },
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
      match: { test: (evidence) => evidence.timedOut, testMeans: 'the attempt timed out' },
      scope: 'provider',
      action: 'breaker',
      certainty: 'likely',
    },
    {
      name: 'network',
      source: 'https://nodejs.org/api/errors.html#common-system-errors',
      match: {
        test: (evidence) => evidence.networkCode !== undefined,
        testMeans: 'the connection failed: DNS, refused, reset, TLS',
      },
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
      ...lasting(HOUR_MS),
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
      match: { test: ({ status = 0 }) => status >= 500, testMeans: 'any other status from 500' },
      kind: 'server_error',
      scope: 'provider',
      action: 'breaker',
    },
    {
      name: 'rejected',
      source: `${HTTP}.5`,
      match: { test: ({ status = 0 }) => status >= 400, testMeans: 'any other status from 400' },
      scope: 'request',
      action: 'fail',
    },
  ],
};
