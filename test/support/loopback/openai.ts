import { echo } from './json.ts';
import { startLoopback } from './loopback-server.ts';
import type {
  CommonFailure,
  LoopbackOptions,
  LoopbackServer,
  Provider,
  Situation,
} from './loopback-server.ts';
import { openAIError } from './openai-errors.ts';
import type { OpenAIFailure } from './openai-errors.ts';
import { bearer, openAIRoutes, openAIStreamError } from './openai-routes.ts';
import { evenly } from './quota.ts';
import type { GroupLimits } from './quota.ts';
import { rateLimitHeaders, xRateLimit } from './rate-limit-headers.ts';
import { goDuration } from './time.ts';

export type { OpenAIFailure } from './openai-errors.ts';

export interface OpenAIKey {
  readonly id?: string;
  readonly organisation: string;
  readonly state?: 'ok' | OpenAIFailure | CommonFailure;
}

export interface OpenAIDescription extends LoopbackOptions<OpenAIFailure> {
  readonly organisations: Readonly<Record<string, GroupLimits>>;
  readonly keys: Readonly<Record<string, OpenAIKey>>;
  /** What the server serves; gpt-4o, gpt-4o-mini and gpt-4.1 when absent. */
  readonly models?: readonly string[];
  /** The answer to a prompt; an echo when absent. */
  readonly reply?: (prompt: string) => string;
}

export type OpenAIServer = LoopbackServer<OpenAIFailure>;

const MODELS = ['gpt-4o', 'gpt-4o-mini', 'gpt-4.1'];
/** Hears, but is not listed: tests of the list name what they have described. */
const WHISPER = 'whisper-1';

/**
 * The OpenAI API. Quotas are per organisation and model and refill evenly: of 10 requests a minute one comes
 * back every 6 s. Uploaded files belong to the organisation that uploaded them.
 */
export function startOpenAI(description: OpenAIDescription): Promise<OpenAIServer> {
  const { organisations, keys, models, reply, ...options } = description;
  const described = Object.entries(keys).map(
    ([secret, { organisation, ...rest }]) => [secret, { ...rest, group: organisation }] as const,
  );
  return startLoopback(openAI(models, reply), {
    ...options,
    groups: organisations,
    keys: Object.fromEntries(described),
  });
}

/** The API as {@link startOpenAI} serves it, for descriptions in the general words. */
export function openAI(
  models: readonly string[] = MODELS,
  reply: (prompt: string) => string = echo,
): Provider<OpenAIFailure> {
  return {
    models: [...models, WHISPER],
    credential: bearer,
    window: evenly,
    routes: openAIRoutes({ base: '/v1', models, reply }),
    error: openAIError,
    streamError: openAIStreamError,
    headers,
  };
}

const LIMITS = [xRateLimit('rpm', 'requests'), xRateLimit('tpm', 'tokens')];

function headers(situation: Situation): Record<string, string> {
  const { group, requestId } = situation;
  const common = { 'x-request-id': requestId, 'openai-version': '2020-10-01' };
  if (group === undefined) return common;
  const limits = rateLimitHeaders(situation, LIMITS, goDuration);
  return { ...common, 'openai-organization': group, 'openai-processing-ms': '12', ...limits };
}
