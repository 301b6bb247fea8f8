import { isRecord, property } from '../faults/safe-read.ts';
import type { ServerEvent } from './server-events.ts';

/**
 * What an event says about the stream that begins with it: its content has come; nothing yet; or an error,
 * as the body that the provider would have answered with, had it known in time.
 */
export type Verdict = 'content' | 'nothing' | { readonly error: unknown };

/** Events that come before any content. */
const PRELUDES = new Set(['message_start', 'ping', 'response.created', 'response.queued', 'response.in_progress']);

/** The status that goes with an error's code or type, where the error holds no number. */
const STATUSES: Readonly<Record<string, number>> = {
  authentication_error: 401,
  billing_error: 402,
  context_length_exceeded: 400,
  insufficient_quota: 429,
  invalid_api_key: 401,
  invalid_prompt: 400,
  invalid_request_error: 400,
  model_not_found: 404,
  not_found_error: 404,
  overloaded_error: 529,
  permission_error: 403,
  rate_limit_error: 429,
  rate_limit_exceeded: 429,
  request_too_large: 413,
  server_is_overloaded: 503,
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
  const error = property(body, 'error');
  for (const field of ['code', 'status', 'type']) {
    const value = property(error, field);
    const status = typeof value === 'string' ? (STATUSES[value] ?? Number(value)) : value;
    if (typeof status === 'number' && Number.isInteger(status) && status >= 400 && status <= 599) return status;
  }
  return 500;
}

function errorIn(body: unknown, name: string): unknown {
  if (!isRecord(body)) return undefined;
  // OpenAI's chat, Anthropic, Google, OpenRouter.
  if (isRecord(body.error)) return body;
  if (typeof body.error === 'string' && body.error !== '') return body;
  // OpenAI's Responses: the error is the event, or the response it ended.
  if (body.type === 'error' || name === 'error') return { error: body };
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
  const { choices } = body;
  // Azure begins with a verdict on the prompt and no choice at all.
  if (!Array.isArray(choices) || isRecord(body.usage)) return false;
  return choices.every(choice => {
    const delta = property(choice, 'delta');
    return property(choice, 'finish_reason') == null && isRecord(delta) && Object.entries(delta).every(isSilent);
  });
}

/** OpenAI's first chunk names a role, and has a content that is empty. */
function isSilent([name, value]: [string, unknown]): boolean {
  return name === 'role' || value === null || value === '' || (Array.isArray(value) && value.length === 0);
}
