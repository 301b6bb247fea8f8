import { readForm } from './form.ts';
import type { IncomingRequest, Reply } from './http-host.ts';
import { countTokens, isRecord, pieces, promptText, readJson } from './json.ts';
import { startLoopback } from './loopback-server.ts';
import type {
  CommonFailure,
  LoopbackOptions,
  LoopbackServer,
  ModelCall,
  Provider,
  Situation,
} from './loopback-server.ts';
import { openAIError } from './openai-errors.ts';
import type { OpenAIFailure } from './openai-errors.ts';
import { RefillingWindow } from './quota.ts';
import type { GroupLimits } from './quota.ts';
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

/**
 * The OpenAI API. Quotas are per organisation and model and refill evenly: of 10 requests a minute one comes
 * back every 6 s. Uploaded files belong to the organisation that uploaded them.
 */
export function startOpenAI(description: OpenAIDescription): Promise<OpenAIServer> {
  const { organisations, keys, models = MODELS, reply = (prompt) => `You said: ${prompt}`, ...options } = description;
  const described = Object.entries(keys).map(
    ([secret, { organisation, ...rest }]) => [secret, { ...rest, group: organisation }] as const,
  );
  return startLoopback(openAI(models, reply), {
    ...options,
    groups: organisations,
    keys: Object.fromEntries(described),
  });
}

interface StoredFile {
  readonly owner: string | undefined;
  readonly description: Readonly<Record<string, unknown>>;
}

function openAI(models: readonly string[], reply: (prompt: string) => string): Provider<OpenAIFailure> {
  const files = new Map<string, StoredFile>();

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

  return {
    models,
    credential: ({ headers }) => /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1],
    window: (dimension, limit) =>
      new RefillingWindow(limit, dimension === 'rpd' || dimension === 'tpd' ? 86_400_000 : 60_000),
    routes: [
      { method: 'POST', path: /^\/v1\/chat\/completions$/, read: readMessages, answer: (it) => completed(it, reply) },
      { method: 'POST', path: /^\/v1\/responses$/, read: readInput, answer: (it) => responded(it, reply) },
      {
        method: 'GET',
        path: /^\/v1\/models$/,
        answer: () => ({
          status: 200,
          body: {
            object: 'list',
            data: models.map((id) => ({ id, object: 'model', created: 1_715_367_049, owned_by: 'system' })),
          },
        }),
      },
      { method: 'POST', path: /^\/v1\/files$/, answer: upload },
      { method: 'GET', path: /^\/v1\/files\/([^/]+)$/, answer: retrieve },
    ],
    error: openAIError,
    streamError: (error) => event(error.body),
    headers,
  };
}

function invalid(message: string): Readonly<Record<string, unknown>> {
  return { message, type: 'invalid_request_error', param: null, code: null };
}

function headers({ group, meter, now, requestId }: Situation): Record<string, string> {
  const answer: Record<string, string> = { 'x-request-id': requestId, 'openai-version': '2020-10-01' };
  if (group === undefined) return answer;
  answer['openai-organization'] = group;
  answer['openai-processing-ms'] = '12';
  for (const [dimension, name] of [['rpm', 'requests'], ['tpm', 'tokens']] as const) {
    const window = meter?.window(dimension);
    if (!window) continue;
    answer[`x-ratelimit-limit-${name}`] = String(window.limit);
    answer[`x-ratelimit-remaining-${name}`] = String(Math.max(0, Math.floor(window.limit - window.used(now))));
    answer[`x-ratelimit-reset-${name}`] = goDuration(window.resetInMs(now));
  }
  return answer;
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

function completed({ call, now, request, requestId }: Situation, reply: (prompt: string) => string): Reply {
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
  const withUsage = isRecord(body.stream_options) && body.stream_options.include_usage === true;
  const chunk = (choices: readonly unknown[], usageSoFar: unknown): string =>
    event({ ...common, object: 'chat.completion.chunk', choices, ...(withUsage && { usage: usageSoFar }) });
  const choice = (delta: unknown, finishReason: string | null): string =>
    chunk([{ index: 0, delta, logprobs: null, finish_reason: finishReason }], null);
  return {
    status: 200,
    chunks: [
      choice({ role: 'assistant', content: '' }, null),
      ...pieces(text, 4).map((content) => choice({ content }, null)),
      choice({}, 'stop'),
      ...(withUsage ? [chunk([], usage)] : []),
      'data: [DONE]\n\n',
    ],
  };
}

function responded({ call, now, requestId }: Situation, reply: (prompt: string) => string): Reply {
  const prompt = call?.prompt ?? '';
  const text = reply(prompt);
  return {
    status: 200,
    body: {
      id: `resp_${requestId}`,
      object: 'response',
      created_at: Math.floor(now / 1000),
      status: 'completed',
      error: null,
      model: call?.model,
      output: [
        {
          type: 'message',
          id: `msg_${requestId}`,
          status: 'completed',
          role: 'assistant',
          content: [{ type: 'output_text', text, annotations: [] }],
        },
      ],
      usage: {
        input_tokens: countTokens(prompt),
        input_tokens_details: { cached_tokens: 0 },
        output_tokens: countTokens(text),
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: countTokens(prompt) + countTokens(text),
      },
    },
  };
}

function event(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}
