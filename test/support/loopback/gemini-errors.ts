import type { Reply } from './http-host.ts';
import type { CommonFailure, Situation } from './loopback-server.ts';
import type { Dimension, Refusal } from './quota.ts';

export type GeminiFailure =
  | 'revoked'
  | 'expired'
  | 'leaked'
  | 'suspended'
  | 'key_blocked'
  | 'service_disabled'
  | 'location'
  | 'capacity'
  | 'deadline';

const SERVICE = 'generativelanguage.googleapis.com';

type Detail = Readonly<Record<string, unknown>>;

function googleError(code: number, status: string, message: string, details: readonly Detail[] = []): Reply {
  return { status: code, body: { error: { code, message, status, ...(details.length > 0 && { details }) } } };
}

function errorInfo(reason: string, metadata: Readonly<Record<string, string>> = { service: SERVICE }): Detail {
  return { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason, domain: 'googleapis.com', metadata };
}

function badKey(message: string): Reply {
  const localized = { '@type': 'type.googleapis.com/google.rpc.LocalizedMessage', locale: 'en-US', message };
  return googleError(400, 'INVALID_ARGUMENT', message, [errorInfo('API_KEY_INVALID'), localized]);
}

/** A key of the newer shape is read as a token, and refused as one. */
function invalidKey({ secret }: Situation): Reply {
  if (!secret?.startsWith('AQ.')) return badKey('API key not valid. Please pass a valid API key.');
  return googleError(
    401,
    'UNAUTHENTICATED',
    'Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid ' +
      'authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.',
    [errorInfo('ACCESS_TOKEN_TYPE_UNSUPPORTED')],
  );
}

const QUOTAS: Readonly<Record<Dimension, { readonly metric: string; readonly id: string }>> = {
  rpm: {
    metric: 'generate_content_free_tier_requests',
    id: 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier',
  },
  rpd: {
    metric: 'generate_content_free_tier_requests',
    id: 'GenerateRequestsPerDayPerProjectPerModel-FreeTier',
  },
  tpm: {
    metric: 'generate_content_free_tier_input_token_count',
    id: 'GenerateContentInputTokensPerModelPerMinute-FreeTier',
  },
  tpd: {
    metric: 'generate_content_free_tier_input_token_count',
    id: 'GenerateContentInputTokensPerModelPerDay-FreeTier',
  },
};

function perDay({ dimension }: Refusal): boolean {
  return dimension === 'rpd' || dimension === 'tpd';
}

function exhausted({ call, now, refusals }: Situation): Reply {
  const model = call?.model ?? 'gemini-2.5-flash';
  // With a day used up, Google still asks to come back within the minute.
  const minuteLeftMs = 60_000 - (now % 60_000);
  const retryInMs = Math.max(...refusals.map((each) => (perDay(each) ? minuteLeftMs : each.retryInMs)));
  const lines = refusals.map(
    ({ dimension, limit }) =>
      `* Quota exceeded for metric: ${SERVICE}/${QUOTAS[dimension].metric}, limit: ${limit}, model: ${model}`,
  );
  const message =
    'You exceeded your current quota, please check your plan and billing details. For more information on this ' +
    'error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. \n' +
    `${lines.join('\n')}\nPlease retry in ${retryInMs / 1000}s.`;
  return googleError(429, 'RESOURCE_EXHAUSTED', message, [
    {
      '@type': 'type.googleapis.com/google.rpc.Help',
      links: [
        {
          description: 'Learn more about Gemini API quotas',
          url: 'https://ai.google.dev/gemini-api/docs/rate-limits',
        },
      ],
    },
    {
      '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
      violations: refusals.map(({ dimension, limit }) => ({
        quotaMetric: `${SERVICE}/${QUOTAS[dimension].metric}`,
        quotaId: QUOTAS[dimension].id,
        quotaDimensions: { location: 'global', model },
        // A limit of 0 is left out, as protobuf leaves out zeros.
        ...(limit > 0 && { quotaValue: String(limit) }),
      })),
    },
    { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${Math.ceil(retryInMs / 1000)}s` },
  ]);
}

const ERRORS: Readonly<Record<GeminiFailure | CommonFailure, (situation: Situation) => Reply>> = {
  missing_key: () =>
    googleError(
      403,
      'PERMISSION_DENIED',
      "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or " +
        'other form of API consumer identity to call this API.',
    ),
  invalid_key: invalidKey,
  revoked: invalidKey,
  expired: () => badKey('API key expired. Please renew the API key.'),
  leaked: () =>
    googleError(403, 'PERMISSION_DENIED', 'Your API key was reported as leaked. Please use another API key.'),
  suspended: ({ secret }) =>
    googleError(
      403,
      'PERMISSION_DENIED',
      `Permission denied: Consumer 'api_key:${secret ?? ''}' has been suspended.`,
      [
        errorInfo('CONSUMER_SUSPENDED', {
          consumer: 'projects/100000000001',
          containerInfo: `api_key:${secret ?? ''}`,
          service: SERVICE,
        }),
      ],
    ),
  key_blocked: () =>
    googleError(403, 'PERMISSION_DENIED', 'Requests from referer <empty> are blocked.', [
      errorInfo('API_KEY_HTTP_REFERRER_BLOCKED', { service: SERVICE, consumer: 'projects/100000000001' }),
    ]),
  service_disabled: () =>
    googleError(
      403,
      'PERMISSION_DENIED',
      'Generative Language API has not been used in project 100000000001 before or it is disabled. Enable it by ' +
        'visiting the Google developers console then retry.',
      [errorInfo('SERVICE_DISABLED', { service: SERVICE, consumer: 'projects/100000000001' })],
    ),
  location: () => googleError(400, 'FAILED_PRECONDITION', 'User location is not supported for the API use.'),
  not_found: () => ({ status: 404, body: '' }),
  unknown_model: ({ call, match }) =>
    googleError(
      404,
      'NOT_FOUND',
      `models/${call?.model ?? 'unknown'} is not found for API version ${match?.[1] ?? 'v1beta'}, or is not ` +
        'supported for generateContent. Call ListModels to see the list of available models and their supported ' +
        'methods.',
    ),
  bad_request: ({ complaint }) =>
    googleError(400, 'INVALID_ARGUMENT', complaint ?? 'Request contains an invalid argument.'),
  rpm: exhausted,
  tpm: exhausted,
  rpd: exhausted,
  tpd: exhausted,
  capacity: ({ call }) =>
    googleError(
      429,
      'RESOURCE_EXHAUSTED',
      `No capacity available for model ${call?.model ?? 'gemini-2.5-flash'} on the server`,
      [errorInfo('MODEL_CAPACITY_EXHAUSTED', { model: call?.model ?? 'gemini-2.5-flash' })],
    ),
  overloaded: () => googleError(503, 'UNAVAILABLE', 'The model is overloaded. Please try again later.'),
  internal: () =>
    googleError(
      500,
      'INTERNAL',
      'An internal error has occurred. Please retry or report in ' +
        'https://developers.generativeai.google/guide/troubleshooting',
    ),
  deadline: () =>
    googleError(504, 'DEADLINE_EXCEEDED', 'The request timed out. Please try again.'),
};

export const geminiError = (kind: GeminiFailure | CommonFailure, situation: Situation): Reply =>
  ERRORS[kind](situation);
