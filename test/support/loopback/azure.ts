import type { Reply } from './http-host.ts';
import { echo } from './json.ts';
import type { CommonFailure, Provider, Route, Situation } from './loopback-server.ts';
import { openAIError } from './openai-errors.ts';
import { openAIRoutes, openAIStreamError } from './openai-routes.ts';
import { evenly } from './quota.ts';
import { rateLimitHeaders, xRateLimit } from './rate-limit-headers.ts';
import { serverEvent } from './server-event.ts';

const DEPLOYMENTS = ['gpt-4o', 'whisper-1'];
const DEPLOYMENT = /\/deployments\/([^/]+)\//;

/** A resource of Azure OpenAI: its keys come in `api-key`, its models are deployments in the path. */
export function azure(reply: (prompt: string) => string = echo): Provider<never> {
  return {
    models: DEPLOYMENTS,
    credential: ({ headers: { 'api-key': key } }) => (typeof key === 'string' ? key : undefined),
    window: evenly,
    routes: [
      ...openAIRoutes({ base: '/openai/deployments/[^/]+', models: DEPLOYMENTS, reply }).map(ofDeployment),
      ...openAIRoutes({ base: '/openai', models: DEPLOYMENTS, reply }),
    ],
    error: (kind, situation) => OWN_ERRORS[kind]?.(situation) ?? openAIError(kind, situation),
    streamError: openAIStreamError,
    headers,
  };
}

/** The path says which model it is; a stream begins with a verdict on the prompt, and no choice. */
function ofDeployment(route: Route): Route {
  const { read } = route;
  if (!read) return route;
  return {
    ...route,
    read: (request, match) => {
      if (!request.query.has('api-version')) return 'Missing required query parameter: api-version';
      const call = read(request, match);
      const model = DEPLOYMENT.exec(request.path)?.[1];
      return typeof call === 'string' || model === undefined ? call : { ...call, model };
    },
    answer: async (situation) => {
      const answer = await route.answer(situation);
      if (!answer.chunks) return answer;
      const verdict = { choices: [], created: 0, id: '', model: '', object: '', prompt_filter_results: [] };
      return { ...answer, chunks: [serverEvent(verdict), ...answer.chunks] };
    },
  };
}

function failure(status: number, code: string, message: string, headers: Record<string, string> = {}): Reply {
  return { status, headers, body: { error: { code, message } } };
}

const denied = (): Reply =>
  failure(
    401,
    '401',
    'Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an ' +
      'active subscription and use a correct regional API endpoint for your resource.',
  );

function limited({ refusals }: Situation): Reply {
  const retryAfter = seconds(refusals[0]?.retryInMs ?? 0);
  return failure(
    429,
    '429',
    'Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded call ' +
      `rate limit of your current OpenAI S0 pricing tier. Please retry after ${retryAfter} seconds.`,
    { 'retry-after': retryAfter },
  );
}

const OWN_ERRORS: Partial<Record<CommonFailure, (situation: Situation) => Reply>> = {
  missing_key: denied,
  invalid_key: denied,
  not_found: () => failure(404, '404', 'Resource not found'),
  unknown_model: () => failure(404, 'DeploymentNotFound', 'The API deployment for this resource does not exist.'),
  rpm: limited,
  tpm: limited,
};

const LIMITS = [xRateLimit('rpm', 'requests'), xRateLimit('tpm', 'tokens')];

/** Resets are whole seconds. */
const seconds = (resetInMs: number): string => String(Math.ceil(resetInMs / 1000));

function headers(situation: Situation): Record<string, string> {
  const limits = rateLimitHeaders(situation, LIMITS, seconds);
  return { 'apim-request-id': situation.requestId, 'x-ms-region': 'West Europe', ...limits };
}
