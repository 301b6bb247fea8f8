import { anthropicError } from './anthropic-errors.ts';
import type { AnthropicFailure } from './anthropic-errors.ts';
import { readForm } from './form.ts';
import type { IncomingRequest, Reply } from './http-host.ts';
import { countTokens, echo, pieces, promptText, readJson } from './json.ts';
import type { ModelCall, Provider, Situation } from './loopback-server.ts';
import { bearer } from './openai-routes.ts';
import { evenly } from './quota.ts';
import { rateLimitHeaders } from './rate-limit-headers.ts';
import { serverEvent } from './server-event.ts';

const MODELS = ['claude-sonnet-4-6', 'claude-haiku-4-5'];

/**
 * The Anthropic API. A key is taken from `x-api-key` as from `authorization`: SDKs send the one or the other.
 * Quotas are per organisation and model; every answer says what is left of them, and whose they are.
 */
export function anthropic(reply: (prompt: string) => string = echo): Provider<AnthropicFailure> {
  return {
    models: MODELS,
    credential: (request) => {
      const header = request.headers['x-api-key'];
      return typeof header === 'string' ? header : bearer(request);
    },
    window: evenly,
    routes: [
      { method: 'POST', path: /^\/v1\/messages$/, read: readMessages, answer: (it) => answered(it, reply) },
      { method: 'POST', path: /^\/v1\/files$/, answer: uploaded },
    ],
    error: anthropicError,
    streamError: ({ body }) => serverEvent(body, 'error'),
    headers,
  };
}

const LIMITS = ([['rpm', 'requests'], ['tpm', 'input-tokens']] as const).map(([dimension, name]) => ({
  dimension,
  limit: `anthropic-ratelimit-${name}-limit`,
  remaining: `anthropic-ratelimit-${name}-remaining`,
  reset: `anthropic-ratelimit-${name}-reset`,
}));

/** In whole seconds. */
function rfc3339(resetInMs: number, now: number): string {
  return new Date(Math.ceil((now + resetInMs) / 1000) * 1000).toISOString().replace('.000', '');
}

function headers(situation: Situation): Record<string, string> {
  const { group, requestId } = situation;
  if (group === undefined) return { 'request-id': requestId };
  const limits = rateLimitHeaders(situation, LIMITS, rfc3339);
  return { 'request-id': requestId, 'anthropic-organization-id': group, ...limits };
}

function readMessages({ body: bytes, headers: sent }: IncomingRequest): ModelCall | string {
  if (sent['anthropic-version'] === undefined) return 'anthropic-version: header is required';
  const body = readJson(bytes);
  if (!body) return 'The request body is not valid JSON';
  if (typeof body.model !== 'string') return 'model: Field required';
  if (typeof body.max_tokens !== 'number') return 'max_tokens: Field required';
  if (!Array.isArray(body.messages)) return 'messages: Field required';
  const prompt = promptText(body.messages);
  return { model: body.model, prompt, tokens: countTokens(prompt) };
}

function answered({ call, request, requestId }: Situation, reply: (prompt: string) => string): Reply {
  const prompt = call?.prompt ?? '';
  const text = reply(prompt);
  const usage = {
    input_tokens: countTokens(prompt),
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    output_tokens: countTokens(text),
    service_tier: 'standard',
  };
  const message = {
    id: `msg_${requestId}`,
    type: 'message',
    role: 'assistant',
    model: call?.model,
    content: [{ type: 'text', text }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage,
  };
  if (readJson(request.body)?.stream !== true) return { status: 200, body: message };
  const begun = { ...message, content: [], stop_reason: null, usage: { ...usage, output_tokens: 1 } };
  const events = [
    { type: 'message_start', message: begun },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'ping' },
    ...pieces(text, 4).map((piece) => ({
      type: 'content_block_delta',
      index: 0,
      delta: { type: 'text_delta', text: piece },
    })),
    { type: 'content_block_stop', index: 0 },
    {
      type: 'message_delta',
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      usage: { output_tokens: usage.output_tokens },
    },
    { type: 'message_stop' },
  ];
  return { status: 200, chunks: events.map((each) => serverEvent(each, each.type)) };
}

function uploaded({ now, request, requestId }: Situation): Reply {
  const file = readForm(request).get('file');
  if (!file) return { status: 400, body: { type: 'error', error: { type: 'invalid_request_error', message: 'file' } } };
  return {
    status: 200,
    body: {
      id: `file_${requestId}`,
      type: 'file',
      filename: file.filename,
      mime_type: 'text/plain',
      size_bytes: file.content.length,
      created_at: new Date(now).toISOString(),
      downloadable: false,
    },
  };
}
