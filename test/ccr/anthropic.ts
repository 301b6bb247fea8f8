import { countTokens, pieces, promptText, readJson } from '../support/loopback/json.ts';
import { FixedWindow } from '../support/loopback/quota.ts';
import type { IncomingRequest, Provider, Reply, Situation } from '../support/loopback/index.ts';

const STATUSES: Readonly<Record<string, readonly [status: number, type: string]>> = {
  missing_key: [401, 'authentication_error'],
  invalid_key: [401, 'authentication_error'],
  not_found: [404, 'not_found_error'],
  unknown_model: [404, 'not_found_error'],
  bad_request: [400, 'invalid_request_error'],
  overloaded: [529, 'overloaded_error'],
  internal: [500, 'api_error'],
  rpm: [429, 'rate_limit_error'],
};

/** As much of the Anthropic API as a router asks for. */
export const anthropic: Provider<never> = {
  models: ['claude-sonnet-4-5'],
  credential: ({ headers }) => {
    const header = headers['x-api-key'];
    return typeof header === 'string' ? header : undefined;
  },
  window: (_, limit) => new FixedWindow(limit, startedAt => startedAt + 60_000),
  routes: [{ method: 'POST', path: /^\/v1\/messages$/, read, answer }],
  error: kind => {
    const [status, type] = STATUSES[kind] ?? [500, 'api_error'];
    return { status, body: { type: 'error', error: { type, message: kind } } };
  },
  streamError: ({ body }) => `event: error\ndata: ${JSON.stringify(body)}\n\n`,
};

function read({ body: bytes }: IncomingRequest): { model: string; prompt: string; tokens: number } | string {
  const body = readJson(bytes);
  if (typeof body?.model !== 'string') return 'model: Field required';
  const prompt = promptText(body.messages);
  return { model: body.model, prompt, tokens: countTokens(prompt) };
}

function answer({ call, request, requestId }: Situation): Reply {
  const text = `You said: ${call?.prompt ?? ''}`;
  const usage = { input_tokens: 1, output_tokens: countTokens(text) };
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
  const events = [
    { type: 'message_start', message: { ...message, content: [], stop_reason: null } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    ...pieces(text, 4).map(piece => ({
      type: 'content_block_delta',
      index: 0,
      delta: { type: 'text_delta', text: piece },
    })),
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage },
    { type: 'message_stop' },
  ];
  return { status: 200, chunks: events.map(each => `event: ${each.type}\ndata: ${JSON.stringify(each)}\n\n`) };
}
