import { bytesOf } from './body.ts';
import { jsonMembers } from './json-members.ts';

/** Gemini and Vertex, Azure, Bedrock. */
const IN_PATH = [/\/models\/([^/:]+):/, /\/deployments\/([^/]+)\//, /\/model\/([^/]+)\//];

/** Names of the bound of an answer, in tokens. */
const BOUNDS = ['max_tokens', 'max_completion_tokens', 'max_output_tokens'];

const CHARACTERS_PER_TOKEN = 4;

/** What a request asks for, as far as its address and its body tell. */
export interface Demand {
  readonly model: string | undefined;
  /** Estimated; 0 where it was not to be estimated. */
  readonly tokens: number;
}

export function demandOf(pathname: string, body: unknown, estimateTokens: boolean): Demand {
  const addressed = modelInPath(pathname);
  const wanted = [...(addressed === undefined ? ['model'] : []), ...(estimateTokens ? BOUNDS : [])];
  const members = wanted.length === 0 ? new Map<string, never>() : membersOf(body, wanted);
  const model = addressed ?? members.get('model');
  return {
    model: typeof model === 'string' && model !== '' ? model : undefined,
    tokens: estimateTokens ? tokensOf(body, members) : 0,
  };
}

function modelInPath(pathname: string): string | undefined {
  for (const expression of IN_PATH) {
    const name = expression.exec(pathname)?.[1];
    if (name === undefined) continue;
    try {
      return decodeURIComponent(name);
    } catch {
      return name;
    }
  }
  return undefined;
}

function membersOf(body: unknown, names: readonly string[]): Map<string, unknown> {
  if (body instanceof FormData) return new Map(names.map((name): [string, unknown] => [name, body.get(name)]));
  if (typeof body === 'string') return jsonMembers(body, names);
  const bytes = bytesOf(body);
  return bytes ? jsonMembers(bytes.toString(), names) : new Map<string, unknown>();
}

function tokensOf(body: unknown, members: ReadonlyMap<string, unknown>): number {
  const size = typeof body === 'string' ? body.length : (bytesOf(body)?.length ?? 0);
  const bound = BOUNDS.map(name => members.get(name)).find(value => typeof value === 'number' && value > 0);
  return Math.ceil(size / CHARACTERS_PER_TOKEN) + (typeof bound === 'number' ? bound : 0);
}
