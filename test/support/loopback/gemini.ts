import { geminiError } from './gemini-errors.ts';
import type { GeminiFailure } from './gemini-errors.ts';
import type { IncomingRequest, Reply } from './http-host.ts';
import { countTokens, echo, pieces, promptText, readJson } from './json.ts';
import { startLoopback } from './loopback-server.ts';
import type {
  CommonFailure,
  LoopbackOptions,
  LoopbackServer,
  ModelCall,
  Provider,
  Situation,
} from './loopback-server.ts';
import { FixedWindow } from './quota.ts';
import type { Dimension, GroupLimits } from './quota.ts';
import { nextPacificMidnight } from './time.ts';

export type { GeminiFailure } from './gemini-errors.ts';

export interface GeminiKey {
  readonly id?: string;
  readonly project: string;
  readonly state?: 'ok' | GeminiFailure | CommonFailure;
}

export interface GeminiDescription extends LoopbackOptions<GeminiFailure> {
  readonly projects: Readonly<Record<string, GroupLimits>>;
  readonly keys: Readonly<Record<string, GeminiKey>>;
  /** What the server serves; 2.5 pro, flash and flash-lite when absent. */
  readonly models?: readonly string[];
  /** The answer to a prompt; an echo when absent. */
  readonly reply?: (prompt: string) => string;
}

export type GeminiServer = LoopbackServer<GeminiFailure>;

const MODELS = ['gemini-2.5-flash', 'gemini-2.5-pro', 'gemini-2.5-flash-lite'];

/**
 * The Gemini API as AI Studio keys see it. Quotas are per project and model, in windows of one minute that
 * begin with their first request and days that end at 00:00 America/Los_Angeles. It has no rate headers.
 * Every API version is served alike: @google/genai 3 asks for v1, earlier ones for v1beta.
 */
export function startGemini(description: GeminiDescription): Promise<GeminiServer> {
  const { projects, keys, models, reply, ...options } = description;
  const described = Object.entries(keys).map(
    ([secret, { project, ...rest }]) => [secret, { ...rest, group: project }] as const,
  );
  return startLoopback(gemini(models, reply), { ...options, groups: projects, keys: Object.fromEntries(described) });
}

/** The API as {@link startGemini} serves it, for descriptions in the general words. */
export function gemini(
  models: readonly string[] = MODELS,
  reply: (prompt: string) => string = echo,
): Provider<GeminiFailure> {
  return {
    models,
    credential: ({ headers, query }) => {
      const header = headers['x-goog-api-key'];
      return (typeof header === 'string' ? header : query.get('key')) ?? undefined;
    },
    window: (dimension, limit) => new FixedWindow(limit, endsADay(dimension) ? nextPacificMidnight : aMinuteLater),
    routes: [
      {
        method: 'POST',
        path: /^\/(v1|v1beta|v1alpha)\/models\/([^/:]+):generateContent$/,
        read: readContents,
        answer: ({ call, requestId }) => {
          const text = reply(call?.prompt ?? '');
          return { status: 200, body: generated(call, requestId, text, countTokens(text), true) };
        },
      },
      {
        method: 'POST',
        path: /^\/(v1|v1beta|v1alpha)\/models\/([^/:]+):streamGenerateContent$/,
        read: readContents,
        answer: (situation) => streamed(situation, reply),
      },
      {
        method: 'POST',
        path: /^\/(v1|v1beta|v1alpha)\/models\/([^/:]+):countTokens$/,
        read: readContents,
        metered: false,
        answer: ({ call }) => ({ status: 200, body: { totalTokens: call?.tokens ?? 0 } }),
      },
      {
        method: 'GET',
        path: /^\/(v1|v1beta|v1alpha)\/models$/,
        answer: () => ({
          status: 200,
          body: {
            models: models.map((model) => ({
              name: `models/${model}`,
              version: '001',
              displayName: model,
              inputTokenLimit: 1_048_576,
              outputTokenLimit: 65_536,
              supportedGenerationMethods: ['generateContent', 'countTokens'],
            })),
          },
        }),
      },
      { method: 'POST', path: /^\/upload\/(v1|v1beta|v1alpha)\/files$/, answer: uploaded },
    ],
    error: geminiError,
    streamError: (error) => event(error.body),
  };
}

/** An upload has two requests: one that asks for an address, and one that sends the bytes there. */
function uploaded({ request: { headers, path, query, body }, requestId }: Situation): Reply {
  const upload = query.get('upload_id');
  if (upload === null) {
    const url = `http://${headers.host ?? ''}${path}?upload_id=${requestId}&upload_protocol=resumable`;
    return { status: 200, headers: { 'x-goog-upload-url': url, 'x-goog-upload-status': 'active' } };
  }
  const file = { name: `files/${upload}`, uri: `https://generativelanguage.googleapis.com/v1beta/files/${upload}` };
  return {
    status: 200,
    headers: { 'x-goog-upload-status': 'final' },
    body: { file: { ...file, sizeBytes: String(body.length), mimeType: 'text/plain', state: 'ACTIVE' } },
  };
}

function endsADay(dimension: Dimension): boolean {
  return dimension === 'rpd' || dimension === 'tpd';
}

function aMinuteLater(startedAt: number): number {
  return startedAt + 60_000;
}

function readContents(request: IncomingRequest, match: RegExpExecArray): ModelCall | string {
  const body = readJson(request.body);
  if (!body) return 'Invalid JSON payload received.';
  if (!Array.isArray(body.contents)) return '* GenerateContentRequest.contents: contents is not specified\n';
  const prompt = promptText(body.contents);
  return { model: decodeURIComponent(match[2]!), prompt, tokens: countTokens(prompt) };
}

function generated(
  call: ModelCall | undefined,
  responseId: string,
  text: string,
  candidatesTokenCount: number,
  last: boolean,
): unknown {
  const promptTokenCount = call?.tokens ?? 0;
  return {
    candidates: [
      { content: { parts: [{ text }], role: 'model' }, ...(last && { finishReason: 'STOP' }), index: 0 },
    ],
    usageMetadata: {
      promptTokenCount,
      candidatesTokenCount,
      totalTokenCount: promptTokenCount + candidatesTokenCount,
      promptTokensDetails: [{ modality: 'TEXT', tokenCount: promptTokenCount }],
    },
    modelVersion: call?.model,
    responseId,
  };
}

/** Usage counts up from chunk to chunk; the last one holds the total. */
function streamed({ call, request, requestId }: Situation, reply: (prompt: string) => string): Reply {
  const texts = pieces(reply(call?.prompt ?? ''), 4);
  const chunks = texts.map((text, index) => {
    const soFar = countTokens(texts.slice(0, index + 1).join(''));
    return generated(call, requestId, text, soFar, index === texts.length - 1);
  });
  // Without alt=sse the answer is one JSON array.
  if (request.query.get('alt') !== 'sse') return { status: 200, body: chunks };
  return { status: 200, chunks: chunks.map(event) };
}

function event(data: unknown): string {
  return `data: ${JSON.stringify(data)}\r\n\r\n`;
}
