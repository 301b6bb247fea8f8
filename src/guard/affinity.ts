import { safely } from '../faults/safe-read.ts';
import type { Affinity } from '../keys/affinity.ts';
import type { ExecuteOptions } from './options.ts';
import { field } from './request.ts';

/** So much of a prompt tells one conversation from another; the rest grows from turn to turn. */
const PREFIX_CHARACTERS = 4096;
const MAX_DEPTH = 6;

/** Names of what comes before the conversation, and of the conversation, whose first turn stays. */
const PREAMBLES = ['system', 'instructions', 'system_instruction', 'systemInstruction'];
const CONVERSATIONS = ['messages', 'input', 'contents', 'prompt'];
const ROLES_BEFORE = new Set(['system', 'developer']);

/** What the call is to stay with one key for; undefined where it is nothing. */
export function affinityOf(affinity: Affinity, { req, sessionId }: ExecuteOptions): string | undefined {
  if (typeof affinity === 'function') return text(affinity(req));
  // Bodies come from clients, and Proxies and getters may throw: then any key will do.
  if (affinity === 'prompt') return safely(() => prefixOf(field(req, 'body')));
  const body = field(req, 'body');
  const candidates = [
    sessionId,
    field(req, 'sessionId'),
    // Claude Code names its session there; the other is OpenAI's name for the same purpose.
    field(field(body, 'metadata'), 'user_id'),
    field(body, 'prompt_cache_key'),
  ];
  return candidates.map(text).find(each => each !== undefined);
}

function text(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function prefixOf(body: unknown): string | undefined {
  const words: string[] = [];
  let left = PREFIX_CHARACTERS;
  const collect = (value: unknown, depth = 0): void => {
    if (left <= 0 || depth > MAX_DEPTH) return;
    if (typeof value === 'string') {
      words.push(value.slice(0, left));
      left -= value.length;
    } else if (typeof value === 'object' && value !== null) {
      for (const name of Object.keys(value)) collect(field(value, name), depth + 1);
    }
  };
  for (const name of PREAMBLES) collect(field(body, name));
  for (const name of CONVERSATIONS) collect(firstTurnOf(field(body, name)));
  return words.length > 0 ? words.join('\n') : undefined;
}

/** All up to and with the first turn that is not the system's. */
function firstTurnOf(conversation: unknown): unknown {
  if (!Array.isArray(conversation)) return conversation;
  const turns: unknown[] = conversation;
  const first = turns.findIndex(turn => {
    const role = field(turn, 'role');
    return typeof role !== 'string' || !ROLES_BEFORE.has(role);
  });
  return turns.slice(0, first + 1 || undefined);
}
