import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';

type Fetch = () => Promise<Response>;

/** What the `openai` package throws when its fetch does this. */
export async function openaiError(fetch: Fetch, options: { signal?: AbortSignal } = {}): Promise<unknown> {
  const client = new OpenAI({ apiKey: 'test', maxRetries: 0, fetch });
  return thrownBy(client.chat.completions.create({ model: 'gpt-4o', messages: [] }, options));
}

/** What the `openai` package throws in the middle of a stream with this event. */
export async function openaiStreamError(event: unknown): Promise<unknown> {
  const body = `data: ${JSON.stringify(event)}\n\n`;
  const fetch = (): Promise<Response> =>
    Promise.resolve(new Response(body, { headers: { 'content-type': 'text/event-stream' } }));
  const client = new OpenAI({ apiKey: 'test', maxRetries: 0, fetch });
  const stream = await client.chat.completions.create({ model: 'gpt-4o', stream: true, messages: [] });
  return thrownBy(stream[Symbol.asyncIterator]().next());
}

/** What `@google/genai` throws when its fetch does this. */
export async function genaiError(fetch: Fetch): Promise<unknown> {
  const client = new GoogleGenAI({ apiKey: 'test', httpOptions: { fetch } });
  return thrownBy(client.models.generateContent({ model: 'gemini-2.5-flash', contents: 'hi' }));
}

export function json(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json', ...headers } });
}

export async function thrownBy(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('expected a rejection');
}
