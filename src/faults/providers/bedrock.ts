import { HOUR_MS, untilMidnight } from '../durations.ts';
import type { FaultProfile } from '../fault.ts';

const ERRORS = 'https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html';
const COMMON = 'https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html';

const THROTTLING = ['Throttling', 'ThrottlingException', 'TooManyRequestsException'];

/** Amazon Bedrock. Quotas belong to the account, in each region, for each model. */
export const bedrock: FaultProfile = {
  name: 'bedrock',
  providers: ['*bedrock*'],
  hosts: [
    'bedrock-runtime.*.amazonaws.com',
    'bedrock-runtime-fips.*.amazonaws.com',
    'bedrock-runtime.*.amazonaws.com.cn',
    'bedrock-mantle.*.api.aws',
  ],
  rules: [
    {
      name: 'unknown-credential',
      source: COMMON,
      match: { code: ['UnrecognizedClient*', 'InvalidClientTokenId*', 'ExpiredToken*'] },
      kind: 'unauthorized',
      scope: 'key',
      action: 'probation',
    },
    {
      name: 'access-denied',
      source: ERRORS,
      match: { code: ['AccessDenied', 'AccessDeniedException'] },
      kind: 'permission',
      scope: 'key+model',
      action: 'cool',
      coolMs: HOUR_MS,
    },
    {
      // "Too many tokens per day, please wait before trying again."
      name: 'per-day-quota',
      source: ERRORS,
      match: { code: THROTTLING, message: /\bper day\b/i },
      kind: 'day_quota',
      scope: 'group+model',
      action: 'cool',
      ...untilMidnight('UTC'),
    },
    {
      name: 'throttling',
      source: ERRORS,
      match: { code: THROTTLING },
      kind: 'rate_limit',
      scope: 'group+model',
      action: 'cool',
      coolMs: 2000,
    },
    {
      name: 'throttling-status',
      source: ERRORS,
      match: { status: 429 },
      kind: 'rate_limit',
      scope: 'group+model',
      action: 'cool',
      certainty: 'likely',
      coolMs: 2000,
    },
  ],
};
