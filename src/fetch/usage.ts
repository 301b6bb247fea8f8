import { isRecord, property } from '../faults/safe-read.ts';
import type { Usage } from '../keys/lease.ts';
import type { Onlooker } from './passage.ts';
import type { Report } from './report.ts';
import { mayNameResource, resourceIn } from './resources.ts';
import type { ServerEvent } from './server-events.ts';

/** Where the known APIs say what a call has used: in the answer, or in an event of its stream. */
const NAMES_USAGE = /"usage(?:Metadata)?"\s*:\s*\{/;

/** A longer answer is no chat, and reading it would cost more than knowing is worth. */
const LONGEST_ANSWER = 256 * 1024;

/** Adds up what the events of a stream tell; counts go up from one to the next, so the last one holds. */
export class StreamUsage {
  private usage: Usage | undefined;
  private hasMade = false;
  private readonly report: Report;

  constructor(report: Report) {
    this.report = report;
  }

  hear(events: readonly ServerEvent[]): void {
    for (const { data } of events) {
      const mayHaveMade = !this.hasMade && mayNameResource(data);
      if (!mayHaveMade && !NAMES_USAGE.test(data)) continue;
      const event = parsed(data);
      const usage = usageIn(event);
      if (usage) this.usage = { ...this.usage, ...usage };
      if (mayHaveMade) this.tellMade(resourceIn(event));
    }
  }

  end(): void {
    if (this.usage) this.report.usage(this.usage);
    this.usage = undefined;
  }

  private tellMade(resource: string | undefined): void {
    if (resource === undefined) return;
    this.hasMade = true;
    this.report.made(resource);
  }
}

/** Keeps a copy of a short answer until it is complete, and reads what it has used and made. */
export class JsonUsage implements Onlooker {
  private chunks: Uint8Array[] = [];
  private bytes = 0;
  private readonly report: Report;

  constructor(report: Report) {
    this.report = report;
  }

  /** False for an answer that says it is too long to be looked at. */
  static suits({ headers }: Response): boolean {
    return !(Number(headers.get('content-length')) > LONGEST_ANSWER);
  }

  saw(chunk: Uint8Array): void {
    this.bytes += chunk.byteLength;
    if (this.bytes <= LONGEST_ANSWER) this.chunks.push(chunk);
    else this.chunks = [];
  }

  ended(): void {
    const text = Buffer.concat(this.chunks).toString();
    this.chunks = [];
    if (!NAMES_USAGE.test(text) && !mayNameResource(text)) return;
    const answer = parsed(text);
    const usage = usageIn(answer);
    const resource = resourceIn(answer);
    if (usage) this.report.usage(usage);
    if (resource !== undefined) this.report.made(resource);
  }
}

/** What an answer, or an event of a stream, says that was used; without fields it does not speak of. */
export function usageIn(answer: unknown): Usage | undefined {
  const google = property(answer, 'usageMetadata');
  if (isRecord(google)) {
    return usageOf(
      sum(google, 'promptTokenCount', 'toolUsePromptTokenCount'),
      sum(google, 'candidatesTokenCount', 'thoughtsTokenCount'),
    );
  }
  // Anthropic's first event has it in the message, OpenAI's last one in the response, Cohere's in the delta, and
  // Groq's in a field of its own.
  const found = [answer, ...['message', 'response', 'delta', 'x_groq'].map(name => property(answer, name))]
    .map(each => property(each, 'usage'))
    .find(isRecord);
  if (!found) return undefined;
  // What Cohere bills stands beside what it has counted.
  const billed = property(found, 'billed_units');
  const usage = isRecord(billed) ? billed : found;
  return usageOf(
    sum(usage, 'prompt_tokens') ??
      sum(usage, 'input_tokens', 'cache_creation_input_tokens', 'cache_read_input_tokens') ??
      sum(usage, 'inputTokens'),
    sum(usage, 'completion_tokens') ?? sum(usage, 'output_tokens') ?? sum(usage, 'outputTokens'),
    sum(usage, 'cost'),
  );
}

function usageOf(inputTokens?: number, outputTokens?: number, cost?: number): Usage | undefined {
  if (inputTokens === undefined && outputTokens === undefined && cost === undefined) return undefined;
  return {
    ...(inputTokens !== undefined && { inputTokens }),
    ...(outputTokens !== undefined && { outputTokens }),
    ...(cost !== undefined && { cost }),
  };
}

/** Undefined where not even the first is there. */
function sum(usage: Record<string, unknown>, first: string, ...others: string[]): number | undefined {
  const count = usage[first];
  if (typeof count !== 'number') return undefined;
  const more = others.map(name => usage[name]).filter(value => typeof value === 'number');
  return more.reduce((all, each) => all + each, count);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
