import type { Evidence } from './fault.ts';
import { readBody } from './read-body.ts';

const HEADERS = ['anthropic-organization-id', 'openai-organization'];

/** "Rate limit reached for gpt-4o in organization org-AbC on ..."; Groq writes `org_...` between backticks. */
const NAMED = /\borgani[sz]ation [`'"]?(org[-_][\w-]{1,100})/i;

const MAX_LENGTH = 128;

/**
 * The organization an answer, good or bad, says its key belongs to: keys with the same hint share a quota.
 * Undefined where the answer does not say.
 */
export function groupHintOf({ header, body, text }: Pick<Evidence, 'header' | 'body' | 'text'>): string | undefined {
  for (const name of HEADERS) {
    const value = header(name)?.trim();
    if (value !== undefined && value !== '' && value.length <= MAX_LENGTH) return value;
  }
  return NAMED.exec(readBody(body).message ?? text)?.[1];
}
