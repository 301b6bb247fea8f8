import type { Reply } from './http-host.ts';
import { echo } from './json.ts';
import type { CommonFailure, Provider, Situation } from './loopback-server.ts';
import { bearer, openAIRoutes, openAIStreamError } from './openai-routes.ts';
import { evenly } from './quota.ts';
import { rateLimitHeaders } from './rate-limit-headers.ts';

const MODELS = ['mistral-small-latest', 'codestral-latest'];

/** The Mistral API. Its limits are in headers of its own, which do not say when to come back. */
export function mistral(reply: (prompt: string) => string = echo): Provider<never> {
  return {
    models: MODELS,
    credential: bearer,
    window: evenly,
    routes: openAIRoutes({
      base: '/v1',
      models: MODELS,
      reply,
      streamUsage: 'last',
      fileFields: { sample_type: 'instruct', source: 'upload' },
    }),
    error: (kind, situation) => ERRORS[kind](situation),
    streamError: openAIStreamError,
    headers,
  };
}

function failure(status: number, type: string, message: string, code: string | null): Reply {
  return { status, body: { object: 'error', message, type, param: null, code, raw_status_code: status } };
}

const limited = (): Reply => failure(429, 'rate_limited', 'Rate limit exceeded', '1300');
const unauthorized = (): Reply => ({ status: 401, body: { detail: 'Unauthorized' } });

const ERRORS: Readonly<Record<CommonFailure, (situation: Situation) => Reply>> = {
  missing_key: unauthorized,
  invalid_key: unauthorized,
  not_found: () => ({ status: 404, body: { message: 'no Route matched with those values' } }),
  unknown_model: ({ call }) => failure(400, 'invalid_model', `Invalid model: ${call?.model ?? ''}`, '1500'),
  bad_request: ({ complaint }) => failure(422, 'invalid_request_error', complaint ?? 'Unprocessable Entity', null),
  rpm: limited,
  tpm: limited,
  rpd: limited,
  tpd: limited,
  overloaded: () => failure(503, 'internal_server_error', 'Service unavailable.', '3000'),
  internal: () => failure(500, 'internal_server_error', 'Internal server error', '3000'),
};

const LIMITS = ([['rpm', 'req'], ['tpm', 'tokens']] as const).map(([dimension, name]) => ({
  dimension,
  limit: `x-ratelimit-limit-${name}-minute`,
  remaining: `x-ratelimit-remaining-${name}-minute`,
}));

const headers = (situation: Situation): Record<string, string> => rateLimitHeaders(situation, LIMITS, String);
