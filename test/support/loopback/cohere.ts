import { readForm } from './form.ts';
import type { IncomingRequest, Reply } from './http-host.ts';
import { countTokens, echo, pieces, promptText, readJson } from './json.ts';
import type { CommonFailure, ModelCall, Provider, Situation } from './loopback-server.ts';
import { bearer } from './openai-routes.ts';
import { evenly } from './quota.ts';
import { serverEvent } from './server-event.ts';

const MODELS = ['command-a-03-2025'];

/** The Cohere API as a trial key sees it: no headers speak of limits, nor of when to come back. */
export function cohere(reply: (prompt: string) => string = echo): Provider<never> {
  return {
    models: MODELS,
    credential: bearer,
    window: evenly,
    routes: [
      { method: 'POST', path: /^\/v2\/chat$/, read: readMessages, answer: (it) => answered(it, reply) },
      { method: 'POST', path: /^\/v1\/datasets$/, answer: uploaded },
    ],
    error: (kind, situation) => ERRORS[kind](situation),
    // What the API has for it is a message that ends with an error.
    streamError: ({ body }) => {
      const end = { type: 'message-end', delta: { finish_reason: 'ERROR', error: JSON.stringify(body) } };
      return serverEvent(end, end.type);
    },
  };
}

function failure(status: number, message: string): (situation: Situation) => Reply {
  return ({ requestId }) => ({ status, body: { id: requestId, message } });
}

const limited = failure(
  429,
  'You are using a Trial key, which is limited to 10 API calls / minute. You can continue to use the Trial key for ' +
    "free or upgrade to a Production key with higher rate limits at 'https://dashboard.cohere.com/api-keys'.",
);

const ERRORS: Readonly<Record<CommonFailure, (situation: Situation) => Reply>> = {
  missing_key: failure(401, 'no api key supplied'),
  invalid_key: failure(401, 'invalid api token'),
  not_found: failure(404, 'not found'),
  unknown_model: (it) => failure(404, `model '${it.call?.model ?? ''}' not found`)(it),
  bad_request: (it) => failure(400, it.complaint ?? 'invalid request')(it),
  rpm: limited,
  tpm: limited,
  rpd: limited,
  tpd: limited,
  overloaded: failure(503, 'service unavailable'),
  internal: failure(500, 'internal server error'),
};

function readMessages({ body: bytes }: IncomingRequest): ModelCall | string {
  const body = readJson(bytes);
  if (typeof body?.model !== 'string') return 'invalid request: model is required';
  if (!Array.isArray(body.messages)) return 'invalid request: list of messages must not be empty';
  const prompt = promptText(body.messages);
  return { model: body.model, prompt, tokens: countTokens(prompt) };
}

function answered({ call, request, requestId }: Situation, reply: (prompt: string) => string): Reply {
  const prompt = call?.prompt ?? '';
  const text = reply(prompt);
  const units = { input_tokens: countTokens(prompt), output_tokens: countTokens(text) };
  // What is counted is more than what is billed: the template around the prompt is in it.
  const usage = { billed_units: units, tokens: { ...units, input_tokens: units.input_tokens + 500 } };
  if (readJson(request.body)?.stream !== true) {
    const message = { role: 'assistant', content: [{ type: 'text', text }] };
    return { status: 200, body: { id: requestId, finish_reason: 'COMPLETE', message, usage } };
  }
  const events = [
    { type: 'message-start', id: requestId, delta: { message: { role: 'assistant', content: [], tool_calls: [] } } },
    { type: 'content-start', index: 0, delta: { message: { content: { type: 'text', text: '' } } } },
    ...pieces(text, 4).map((piece) => ({
      type: 'content-delta',
      index: 0,
      delta: { message: { content: { text: piece } } },
    })),
    { type: 'content-end', index: 0 },
    { type: 'message-end', delta: { finish_reason: 'COMPLETE', usage } },
  ];
  return { status: 200, chunks: [...events.map((each) => serverEvent(each, each.type)), 'data: [DONE]\n\n'] };
}

function uploaded({ request, requestId }: Situation): Reply {
  const data = readForm(request).get('data');
  if (!data) return { status: 400, body: { message: 'data: file is required' } };
  return { status: 200, body: { id: `${request.query.get('name') ?? ''}-${requestId}` } };
}
