import type { Reply } from './http-host.ts';
import type { CommonFailure, Situation } from './loopback-server.ts';
import type { Dimension } from './quota.ts';

export type AnthropicFailure = 'no_credit' | 'disabled' | 'permission';

function failure(status: number, type: string, message: string): (situation: Situation) => Reply {
  return ({ requestId }) => ({ status, body: { type: 'error', error: { type, message }, request_id: requestId } });
}

const LIMIT_NAMES: Readonly<Record<Dimension, string>> = {
  rpm: 'requests per minute',
  tpm: 'input tokens per minute',
  rpd: 'requests per day',
  tpd: 'tokens per day',
};

function limited(situation: Situation): Reply {
  const refusal = situation.refusals[0];
  if (!refusal) throw new Error('a refused limit has a refusal');
  const answer = failure(
    429,
    'rate_limit_error',
    `This request would exceed your organization's rate limit of ${refusal.limit} ${LIMIT_NAMES[refusal.dimension]} ` +
      `(model: ${situation.call?.model ?? ''}). For details, refer to: https://docs.claude.com/en/api/rate-limits.`,
  )(situation);
  return { ...answer, headers: { 'retry-after': String(Math.ceil(refusal.retryInMs / 1000)) } };
}

const ERRORS: Readonly<Record<AnthropicFailure | CommonFailure, (situation: Situation) => Reply>> = {
  missing_key: failure(401, 'authentication_error', 'x-api-key header is required'),
  invalid_key: failure(401, 'authentication_error', 'invalid x-api-key'),
  no_credit: failure(
    400,
    'invalid_request_error',
    'Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or ' +
      'purchase credits.',
  ),
  disabled: failure(400, 'invalid_request_error', 'This organization has been disabled.'),
  permission: failure(
    403,
    'permission_error',
    'Your API key does not have permission to use the specified resource.',
  ),
  not_found: failure(404, 'not_found_error', 'Not Found'),
  unknown_model: (it) => failure(404, 'not_found_error', `model: ${it.call?.model ?? ''}`)(it),
  bad_request: (it) => failure(400, 'invalid_request_error', it.complaint ?? 'Invalid request')(it),
  rpm: limited,
  tpm: limited,
  rpd: limited,
  tpd: limited,
  overloaded: failure(529, 'overloaded_error', 'Overloaded'),
  internal: failure(500, 'api_error', 'Internal server error'),
};

export const anthropicError = (kind: AnthropicFailure | CommonFailure, situation: Situation): Reply =>
  ERRORS[kind](situation);
