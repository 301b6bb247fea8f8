import type { Reply } from './http-host.ts';
import type { CommonFailure, Situation } from './loopback-server.ts';
import type { Dimension } from './quota.ts';
import { goDuration } from './time.ts';

export type OpenAIFailure =
  | 'revoked'
  | 'expired'
  | 'deactivated'
  | 'insufficient_quota'
  | 'missing_scope'
  | 'no_model_access'
  | 'location';

function openaiError(
  status: number,
  type: string,
  code: string | null,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Reply {
  return { status, headers, body: { error: { message, type, param: null, code } } };
}

/** The first eight and the last four characters stay readable, as in the real message. */
function partly(secret: string): string {
  return secret.length < 16 ? '****' : `${secret.slice(0, 8)}${'*'.repeat(secret.length - 12)}${secret.slice(-4)}`;
}

function invalidKey({ secret }: Situation): Reply {
  return openaiError(
    401,
    'invalid_request_error',
    'invalid_api_key',
    `Incorrect API key provided: ${partly(secret ?? '')}. You can find your API key at ` +
      'https://platform.openai.com/account/api-keys.',
  );
}

const LIMIT_NAMES: Readonly<Record<Dimension, string>> = {
  rpm: 'requests per min (RPM)',
  tpm: 'tokens per min (TPM)',
  rpd: 'requests per day (RPD)',
  tpd: 'tokens per day (TPD)',
};

const SEE_LIMITS = 'Visit https://platform.openai.com/account/rate-limits to learn more.';

function limited({ call, group, refusals }: Situation): Reply {
  const refusal = refusals[0];
  if (!refusal) throw new Error('a refused limit has a refusal');
  const { dimension, limit, used, requested, retryInMs } = refusal;
  const type = dimension === 'rpm' || dimension === 'rpd' ? 'requests' : 'tokens';
  const where = `for ${call?.model ?? 'gpt-4o'} in organization ${group ?? 'org-unknown'} on ${LIMIT_NAMES[dimension]}`;
  if (type === 'tokens' && requested > limit) {
    return openaiError(
      429,
      type,
      'rate_limit_exceeded',
      `Request too large ${where}: Limit ${limit}, Requested ${requested}. The input or output tokens must be ` +
        `reduced in order to run successfully. ${SEE_LIMITS}`,
    );
  }
  return openaiError(
    429,
    type,
    'rate_limit_exceeded',
    `Rate limit reached ${where}: Limit ${limit}, Used ${used}, Requested ${requested}. Please try again in ` +
      `${goDuration(retryInMs)}. ${SEE_LIMITS}`,
    { 'retry-after-ms': String(Math.ceil(retryInMs)), 'retry-after': String(Math.ceil(retryInMs / 1000)) },
  );
}

const ERRORS: Readonly<Record<OpenAIFailure | CommonFailure, (situation: Situation) => Reply>> = {
  missing_key: () =>
    openaiError(
      401,
      'invalid_request_error',
      null,
      "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth " +
        '(i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from ' +
        'https://platform.openai.com/account/api-keys.',
    ),
  invalid_key: invalidKey,
  revoked: invalidKey,
  expired: invalidKey,
  deactivated: () =>
    openaiError(
      401,
      'invalid_request_error',
      'account_deactivated',
      'The OpenAI account associated with this API key has been deactivated. If you are the owner of this account ' +
        'and feel this was an error, please contact us through our help center at help.openai.com.',
    ),
  insufficient_quota: () =>
    openaiError(
      429,
      'insufficient_quota',
      'insufficient_quota',
      'You exceeded your current quota, please check your plan and billing details. For more information on this ' +
        'error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.',
    ),
  missing_scope: () =>
    openaiError(
      401,
      'invalid_request_error',
      'missing_scope',
      'You have insufficient permissions for this operation. Missing scopes: model.request. Check that you have the ' +
        'correct role in your organization and project, and if you are using a restricted API key, that it has the ' +
        'necessary scopes.',
    ),
  no_model_access: ({ call }) =>
    openaiError(
      403,
      'invalid_request_error',
      'model_not_found',
      `Project \`proj_loopback\` does not have access to model \`${call?.model ?? 'gpt-4o'}\``,
    ),
  location: () =>
    openaiError(
      403,
      'request_forbidden',
      'unsupported_country_region_territory',
      'Country, region, or territory not supported',
    ),
  not_found: ({ request }) =>
    openaiError(404, 'invalid_request_error', null, `Invalid URL (${request.method} ${request.path})`),
  unknown_model: ({ call }) =>
    openaiError(
      404,
      'invalid_request_error',
      'model_not_found',
      `The model \`${call?.model ?? ''}\` does not exist or you do not have access to it.`,
    ),
  bad_request: ({ complaint }) =>
    openaiError(400, 'invalid_request_error', null, complaint ?? 'We could not parse the JSON body of your request.'),
  rpm: limited,
  tpm: limited,
  rpd: limited,
  tpd: limited,
  overloaded: () =>
    openaiError(
      503,
      'service_unavailable_error',
      'server_is_overloaded',
      'The server is currently overloaded with other requests. Sorry about that! Please try again later.',
    ),
  internal: () =>
    openaiError(
      500,
      'server_error',
      null,
      'The server had an error while processing your request. Sorry about that! You can retry your request.',
    ),
};

export const openAIError = (kind: OpenAIFailure | CommonFailure, situation: Situation): Reply =>
  ERRORS[kind](situation);
