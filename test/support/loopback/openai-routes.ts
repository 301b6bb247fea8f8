import { readForm } from './form.ts';
import type { IncomingRequest, Reply } from './http-host.ts';
import { countTokens, isRecord, pieces, promptText, readJson } from './json.ts';
import type { ModelCall, Route, Situation } from './loopback-server.ts';
import { serverEvent } from './server-event.ts';

interface StoredFile {
  readonly owner: string | undefined;
  readonly description: Readonly<Record<string, unknown>>;
}

export interface OpenAIRoutes {
  /** What comes before `/chat/completions`. */
  readonly base: string;
  readonly models: readonly string[];
  readonly reply: (prompt: string) => string;
  /** Where a streamed chat says what it used; `asked`, a chunk of its own where it is asked for, when absent. */
  readonly streamUsage?: StreamUsage;
  /** What the description of a stored file says besides OpenAI's fields. */
  readonly fileFields?: Readonly<Record<string, unknown>>;
}

/** `always`: a chunk of its own; `last`: with the reason to finish; `x_groq`: there too, in Groq's own field. */
export type StreamUsage = 'asked' | 'always' | 'last' | 'x_groq';

/**
 * The paths of OpenAI's API, as OpenAI and many others serve them. Uploaded files belong to the group of the key
 * that uploaded them.
 */
export function openAIRoutes({
  base,
  models,
  reply,
  streamUsage = 'asked',
  fileFields = {},
}: OpenAIRoutes): Route[] {
  const files = new Map<string, StoredFile>();
  const at = (path: string): RegExp => new RegExp(`^${base}${path}$`);

  function upload({ group, now, request }: Situation): Reply {
    const form = readForm(request);
    const file = form.get('file');
    const purpose = form.get('purpose')?.content.toString('utf8');
    if (!file || purpose === undefined) {
      return { status: 400, body: { error: invalid('Missing required parameter: file or purpose.') } };
    }
    const id = `file-${String(files.size + 1).padStart(8, '0')}`;
    const description = {
      id,
      object: 'file',
      bytes: file.content.length,
      created_at: Math.floor(now / 1000),
      filename: file.filename,
      purpose,
      status: 'processed',
      ...fileFields,
    };
    files.set(id, { owner: group, description });
    return { status: 200, body: description };
  }

  function retrieve({ group, match }: Situation): Reply {
    const id = match?.[1] ?? '';
    const file = files.get(id);
    if (file && file.owner === group) return { status: 200, body: file.description };
    return { status: 404, body: { error: { ...invalid(`No such File object: ${id}`), param: 'id' } } };
  }

  return [
    {
      method: 'POST',
      path: at('/chat/completions'),
      read: readMessages,
      answer: (it) => completed(it, reply, streamUsage),
    },
    { method: 'POST', path: at('/responses'), read: readInput, answer: (it) => responded(it, reply) },
    { method: 'POST', path: at('/audio/transcriptions'), read: readAudio, answer: transcribed },
    {
      method: 'GET',
      path: at('/models'),
      answer: () => ({
        status: 200,
        body: {
          object: 'list',
          data: models.map((id) => ({ id, object: 'model', created: 1_715_367_049, owned_by: 'system' })),
        },
      }),
    },
    { method: 'POST', path: at('/files'), answer: upload },
    { method: 'GET', path: at('/files/([^/]+)'), answer: retrieve },
  ];
}

export function bearer({ headers }: IncomingRequest): string | undefined {
  return /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1];
}

/** An error in the middle of a stream: an event like any other. */
export function openAIStreamError({ body }: Reply): string {
  return serverEvent(body);
}

function invalid(message: string): Readonly<Record<string, unknown>> {
  return { message, type: 'invalid_request_error', param: null, code: null };
}

/** At admission the larger of the answer's bound and the estimate of the prompt counts. */
function modelCall(body: Readonly<Record<string, unknown>>, prompt: string, bound: unknown): ModelCall | string {
  if (typeof body.model !== 'string') return 'you must provide a model parameter';
  const estimate = countTokens(prompt);
  return { model: body.model, prompt, tokens: typeof bound === 'number' ? Math.max(bound, estimate) : estimate };
}

function readMessages({ body: bytes }: IncomingRequest): ModelCall | string {
  const body = readJson(bytes);
  if (!body) return 'We could not parse the JSON body of your request.';
  if (!Array.isArray(body.messages)) return "Missing required parameter: 'messages'.";
  return modelCall(body, promptText(body.messages), body.max_completion_tokens ?? body.max_tokens);
}

function readInput({ body: bytes }: IncomingRequest): ModelCall | string {
  const body = readJson(bytes);
  if (!body) return 'We could not parse the JSON body of your request.';
  if (body.input === undefined) return "Missing required parameter: 'input'.";
  return modelCall(body, promptText(body.input), body.max_output_tokens);
}

function completed(
  { call, now, request, requestId }: Situation,
  reply: (prompt: string) => string,
  streamUsage: StreamUsage,
): Reply {
  const body = readJson(request.body);
  const prompt = call?.prompt ?? '';
  const text = reply(prompt);
  const usage = {
    prompt_tokens: countTokens(prompt),
    completion_tokens: countTokens(text),
    total_tokens: countTokens(prompt) + countTokens(text),
  };
  const common = { id: `chatcmpl-${requestId}`, created: Math.floor(now / 1000), model: call?.model };
  if (body?.stream !== true) {
    const message = { role: 'assistant', content: text, refusal: null, annotations: [] };
    const choices = [{ index: 0, message, logprobs: null, finish_reason: 'stop' }];
    return { status: 200, body: { ...common, object: 'chat.completion', choices, usage } };
  }
  const isAsked = isRecord(body.stream_options) && body.stream_options.include_usage === true;
  const hasChunk = streamUsage === 'always' || (streamUsage === 'asked' && isAsked);
  const chunk = (choices: readonly unknown[], more: object = {}): string =>
    serverEvent({ ...common, object: 'chat.completion.chunk', choices, ...more });
  const choice = (delta: unknown, finishReason: string | null, more?: object): string =>
    chunk([{ index: 0, delta, logprobs: null, finish_reason: finishReason }], more);
  const noUsage = isAsked && streamUsage === 'asked' ? { usage: null } : undefined;
  const lastUsage = streamUsage === 'last' ? { usage } : streamUsage === 'x_groq' ? { x_groq: { usage } } : noUsage;
  return {
    status: 200,
    chunks: [
      choice({ role: 'assistant', content: '' }, null, noUsage),
      ...pieces(text, 4).map((content) => choice({ content }, null, noUsage)),
      choice({}, 'stop', lastUsage),
      ...(hasChunk ? [chunk([], { usage })] : []),
      'data: [DONE]\n\n',
    ],
  };
}

function responded({ call, now, request, requestId }: Situation, reply: (prompt: string) => string): Reply {
  const prompt = call?.prompt ?? '';
  const text = reply(prompt);
  const id = `msg_${requestId}`;
  const part = (content: string): object => ({ type: 'output_text', text: content, annotations: [], logprobs: [] });
  const message = (status: string, content: readonly object[]): object => ({
    type: 'message',
    id,
    status,
    role: 'assistant',
    content,
  });
  const response = (status: string, output: readonly object[], usage: object | null): object => ({
    id: `resp_${requestId}`,
    object: 'response',
    created_at: Math.floor(now / 1000),
    status,
    error: null,
    incomplete_details: null,
    model: call?.model,
    output,
    usage,
  });
  const complete = message('completed', [part(text)]);
  const completed = response('completed', [complete], {
    input_tokens: countTokens(prompt),
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: countTokens(text),
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: countTokens(prompt) + countTokens(text),
  });
  if (readJson(request.body)?.stream !== true) return { status: 200, body: completed };
  const place = { item_id: id, output_index: 0, content_index: 0 };
  const events = [
    { type: 'response.created', response: response('in_progress', [], null) },
    { type: 'response.in_progress', response: response('in_progress', [], null) },
    { type: 'response.output_item.added', output_index: 0, item: message('in_progress', []) },
    { type: 'response.content_part.added', ...place, part: part('') },
    ...pieces(text, 4).map((delta) => ({ type: 'response.output_text.delta', ...place, delta, logprobs: [] })),
    { type: 'response.output_text.done', ...place, text, logprobs: [] },
    { type: 'response.content_part.done', ...place, part: part(text) },
    { type: 'response.output_item.done', output_index: 0, item: complete },
    { type: 'response.completed', response: completed },
  ];
  return {
    status: 200,
    chunks: events.map((each, index) => serverEvent({ ...each, sequence_number: index }, each.type)),
  };
}

function readAudio(request: IncomingRequest): ModelCall | string {
  const form = readForm(request);
  const model = form.get('model')?.content.toString('utf8');
  if (model === undefined || !form.has('file')) return 'Missing required parameter: file or model.';
  return { model, prompt: '', tokens: 1 };
}

/** Says how much it has heard. */
function transcribed({ request }: Situation): Reply {
  return { status: 200, body: { text: `${readForm(request).get('file')?.content.length ?? 0} bytes of silence` } };
}
