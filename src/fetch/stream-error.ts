import { isRecord, property } from '../faults/safe-read.ts';
import type { ServerEvent } from './server-events.ts';

/**
 * What an event says about the stream that begins with it: its content has come; nothing yet; or an error,
 * as the body that the provider would have answered with, had it known in time.
 */
export type Verdict = 'content' | 'nothing' | { readonly error: unknown };

/** Events that come before any content. */
const PRELUDES = new Set([
  'message-start',
  'message_start',
  'ping',
  'response.created',
  'response.in_progress',
  'response.queued',
]);

/** The status that goes with an error's code or type, where the error holds no number. */
const STATUSES: Readonly<Record<string, number>> = {
  authentication_error: 401,
  billing_error: 402,
  context_length_exceeded: 400,
  insufficient_quota: 429,
  invalid_api_key: 401,
  invalid_prompt: 400,
  model_not_found: 404,
  not_found_error: 404,
  overloaded_error: 529,
  permission_error: 403,
  rate_limit_error: 429,
  rate_limit_exceeded: 429,
  rate_limited: 429,
  request_too_large: 413,
  server_is_overloaded: 503,
  service_unavailable: 503,
  slow_down: 503,
  timeout_error: 504,
};

export function verdictOf({ name, data }: ServerEvent): Verdict {
  if (data === '[DONE]') return 'content';
  let parsed: unknown;
  try {
    parsed = JSON.parse(data);
  } catch {
    if (name === 'error') return { error: { error: { message: data } } };
    return PRELUDES.has(name) ? 'nothing' : 'content';
  }
  // Google wraps an error in an array now and then.
  const body = Array.isArray(parsed) ? (parsed as unknown[])[0] : parsed;
  const error = errorIn(body, name);
  if (error !== undefined) return { error };
  return isPrelude(body, name) ? 'nothing' : 'content';
}

/** The HTTP status an error body stands for; 500 where it does not say. */
export function statusOf(body: unknown): number {
  const error = isErrorObject(body) ? body : property(body, 'error');
  const values = ['code', 'status', 'type', 'raw_status_code'].map(field => property(error, field));
  for (const value of values) {
    const status = typeof value === 'string' ? (STATUSES[value.toLowerCase()] ?? Number(value)) : value;
    if (typeof status === 'number' && Number.isInteger(status) && status >= 400 && status <= 599) return status;
  }
  // Last, as some say it besides something more telling: DeepSeek gives this code to an overload, too.
  return values.includes('invalid_request_error') ? 400 : 500;
}

function errorIn(body: unknown, name: string): unknown {
  if (!isRecord(body)) return undefined;
  // OpenAI's chat, Anthropic, Google, OpenRouter.
  if (isRecord(body.error)) return body;
  if (typeof body.error === 'string' && body.error !== '') return body;
  // OpenAI's Responses: the error is the event, or the response it ended.
  if (body.type === 'error' || name === 'error') return { error: body };
  // Mistral and vLLM: the error is the body.
  if (isErrorObject(body)) return body;
  // Cohere: a message ends with what went wrong.
  const { delta } = body;
  if (body.type === 'message-end' && property(delta, 'finish_reason') === 'ERROR') {
    return { message: property(delta, 'error') };
  }
  const failed = body.type === 'response.failed' ? property(body.response, 'error') : undefined;
  if (isRecord(failed)) return { error: failed };
  const choice = property(body.choices, '0');
  const refused = property(choice, 'error');
  if (isRecord(refused)) return { error: refused };
  return property(choice, 'finish_reason') === 'error' ? { error: { type: 'provider_error' } } : undefined;
}

function isPrelude(body: unknown, name: string): boolean {
  if (!isRecord(body)) return false;
  if (PRELUDES.has(typeof body.type === 'string' ? body.type : name)) return true;
  // Anthropic and Cohere open a block of text before there is any.
  if (body.type === 'content_block_start') return isEmptyBlock(body.content_block);
  if (body.type === 'content-start') return isEmptyBlock(property(property(body.delta, 'message'), 'content'));
  const { choices } = body;
  // Azure begins with a verdict on the prompt and no choice at all.
  if (!Array.isArray(choices) || isRecord(body.usage)) return false;
  return choices.every(choice => {
    const delta = property(choice, 'delta');
    return property(choice, 'finish_reason') == null && isRecord(delta) && Object.entries(delta).every(isSilent);
  });
}

function isErrorObject(body: unknown): boolean {
  return property(body, 'object') === 'error';
}

/** A block of text or of thoughts that says nothing yet; one of a tool names it. */
function isEmptyBlock(block: unknown): boolean {
  return ['text', 'thinking'].some(kind => property(block, 'type') === kind && property(block, kind) === '');
}

/** OpenAI's first chunk names a role, and has a content that is empty. */
function isSilent([name, value]: [string, unknown]): boolean {
  return name === 'role' || value === null || value === '' || (Array.isArray(value) && value.length === 0);
}
