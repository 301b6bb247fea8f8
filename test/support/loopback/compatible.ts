import type { Reply } from './http-host.ts';
import { echo } from './json.ts';
import type { CommonFailure, Provider, Situation } from './loopback-server.ts';
import { openAIError } from './openai-errors.ts';
import { bearer, openAIRoutes, openAIStreamError } from './openai-routes.ts';
import type { StreamUsage } from './openai-routes.ts';
import { evenly } from './quota.ts';
import type { Dimension } from './quota.ts';
import { rateLimitHeaders, xRateLimit } from './rate-limit-headers.ts';
import { goDuration } from './time.ts';

/** How an API that looks like OpenAI's differs from it. */
interface Dialect {
  /** What comes before `/chat/completions`. */
  readonly base: string;
  readonly models: readonly string[];
  readonly streamUsage?: StreamUsage;
  readonly invalidKey: (situation: Situation) => Reply;
  readonly limited: (situation: Situation) => Reply;
  readonly overloaded: Reply;
  readonly headers?: (situation: Situation) => Record<string, string>;
}

export type Compatible = 'deepseek' | 'fireworks' | 'groq' | 'openrouter' | 'together' | 'xai';

const DIALECTS: Readonly<Record<Compatible, Dialect>> = {
  deepseek: {
    base: '(?:/v1)?',
    models: ['deepseek-chat'],
    invalidKey: ({ secret }) =>
      failure(401, {
        message: `Authentication Fails, Your api key: ****${(secret ?? '').slice(-4)} is invalid`,
        type: 'authentication_error',
        param: null,
        code: 'invalid_request_error',
      }),
    limited: () =>
      failure(429, {
        message: 'Rate limit reached',
        type: 'rate_limit_error',
        param: null,
        code: 'invalid_request_error',
      }),
    overloaded: failure(503, {
      message: 'Service is too busy',
      type: 'service_unavailable',
      param: null,
      code: 'invalid_request_error',
    }),
  },
  fireworks: {
    base: '/inference/v1',
    models: ['accounts/fireworks/models/llama-v3p3-70b-instruct'],
    streamUsage: 'last',
    invalidKey: () => fireworksFailure(401, 'UNAUTHORIZED', 'The API key is invalid.'),
    limited: () => ({
      ...fireworksFailure(429, 'RATE_LIMIT_EXCEEDED', 'Rate limit exceeded, please try again later'),
      headers: { 'x-ratelimit-over-limit': 'yes' },
    }),
    overloaded: fireworksFailure(503, 'SERVICE_UNAVAILABLE', 'The service is overloaded'),
    headers: (it) => rateLimitHeaders(it, FIREWORKS_LIMITS, goDuration),
  },
  groq: {
    base: '/openai/v1',
    models: ['llama-3.3-70b-versatile', 'whisper-large-v3-turbo'],
    streamUsage: 'x_groq',
    invalidKey: () =>
      failure(401, { message: 'Invalid API Key', type: 'invalid_request_error', code: 'invalid_api_key' }),
    limited: groqLimited,
    overloaded: failure(503, { message: 'Service Unavailable', type: 'internal_server_error' }),
    headers: (it) => rateLimitHeaders(it, GROQ_LIMITS, goDuration),
  },
  openrouter: {
    base: '/api/v1',
    models: ['openai/gpt-4o'],
    streamUsage: 'always',
    invalidKey: () => failure(401, { code: 401, message: 'User not found.' }),
    limited: ({ now, refusals: [refusal] }) => {
      const headers = {
        'X-RateLimit-Limit': String(refusal?.limit ?? 0),
        'X-RateLimit-Remaining': '0',
        'X-RateLimit-Reset': String(now + (refusal?.retryInMs ?? 0)),
      };
      const error = { code: 429, message: 'Rate limit exceeded', metadata: { headers, provider_name: null } };
      return { ...failure(429, error), headers };
    },
    overloaded: failure(502, {
      code: 502,
      message: 'Provider returned error',
      metadata: { error_type: 'provider_unavailable', provider_name: 'Novita' },
    }),
  },
  together: {
    base: '/v1',
    models: ['meta-llama/Llama-3.3-70B-Instruct-Turbo', 'openai/whisper-large-v3'],
    streamUsage: 'last',
    invalidKey: () =>
      failure(401, {
        message: 'Invalid API key provided. You can find your API key at https://api.together.ai/settings/api-keys.',
        type: 'invalid_request_error',
        param: null,
        code: 'invalid_api_key',
      }),
    limited: () =>
      failure(429, {
        message: 'You have reached the rate limit specific to this model.',
        type: 'model_rate_limit',
        param: null,
        code: null,
      }),
    overloaded: failure(503, { message: 'The engine is overloaded', type: 'server_error', param: null, code: null }),
  },
  xai: {
    base: '/v1',
    models: ['grok-4'],
    streamUsage: 'always',
    // A 400, and the error is a text.
    invalidKey: () => ({
      status: 400,
      body: {
        code: 'Client specified an invalid argument',
        error: 'Incorrect API key provided: xa***ys. You can obtain an API key from https://console.x.ai.',
      },
    }),
    limited: ({ refusals: [refusal] }) => ({
      status: 429,
      body: {
        code: 'Some resource has been exhausted',
        error: `Too many requests for team 16f2151a: ${refusal?.used ?? 0} of ${refusal?.limit ?? 0} per minute.`,
      },
    }),
    overloaded: { status: 503, body: { code: 'The service is currently unavailable', error: 'Overloaded' } },
  },
};

/** An API in the shape of OpenAI's, as `name` serves it. What is not known to differ is OpenAI's. */
export function compatible(name: Compatible, reply: (prompt: string) => string = echo): Provider<never> {
  const { base, models, streamUsage = 'asked', invalidKey, limited, overloaded, headers } = DIALECTS[name];
  const own: Partial<Record<CommonFailure, (situation: Situation) => Reply>> = {
    missing_key: invalidKey,
    invalid_key: invalidKey,
    rpm: limited,
    tpm: limited,
    rpd: limited,
    tpd: limited,
    overloaded: () => overloaded,
  };
  return {
    models,
    credential: bearer,
    window: evenly,
    routes: openAIRoutes({ base, models, reply, streamUsage }),
    error: (kind, situation) => own[kind]?.(situation) ?? openAIError(kind, situation),
    streamError: openAIStreamError,
    ...(headers && { headers }),
  };
}

function failure(status: number, error: Readonly<Record<string, unknown>>): Reply {
  return { status, body: { error } };
}

function fireworksFailure(status: number, code: string, message: string): Reply {
  return failure(status, { object: 'error', type: 'invalid_request_error', code, message });
}

const FIREWORKS_LIMITS = [xRateLimit('rpm', 'requests'), xRateLimit('tpm', 'tokens-prompt')];

/** Requests per day beside tokens per minute: the other two limits are in no header. */
const GROQ_LIMITS = [xRateLimit('rpd', 'requests'), xRateLimit('tpm', 'tokens')];

const GROQ_LIMIT_NAMES: Readonly<Record<Dimension, string>> = {
  rpm: 'requests per minute (RPM)',
  tpm: 'tokens per minute (TPM)',
  rpd: 'requests per day (RPD)',
  tpd: 'tokens per day (TPD)',
};

function groqLimited({ call, group, refusals: [refusal] }: Situation): Reply {
  if (!refusal) throw new Error('a refused limit has a refusal');
  const { dimension, limit, used, requested, retryInMs } = refusal;
  const answer = failure(429, {
    message:
      `Rate limit reached for model \`${call?.model ?? ''}\` in organization \`${group ?? ''}\` service tier ` +
      `\`on_demand\` on ${GROQ_LIMIT_NAMES[dimension]}: Limit ${limit}, Used ${used}, Requested ${requested}. ` +
      `Please try again in ${goDuration(retryInMs)}. Need more tokens? Upgrade to Dev Tier today at ` +
      'https://console.groq.com/settings/billing',
    type: dimension === 'rpm' || dimension === 'rpd' ? 'requests' : 'tokens',
    code: 'rate_limit_exceeded',
  });
  return { ...answer, headers: { 'retry-after': String(Math.ceil(retryInMs / 1000)) } };
}
