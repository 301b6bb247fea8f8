import type { Evidence } from './fault.ts';
import { readBody } from './read-body.ts';

/** https://docs.claude.com/en/api/overview: sent with every answer. */
const HEADER = 'anthropic-organization-id';

/** "Rate limit reached for gpt-4o in organization org-AbC on ..."; Groq writes `org_...` between backticks. */
const NAMED = /\borgani[sz]ation [`'"]?(org[-_][\w-]{1,100})/i;

const MAX_LENGTH = 128;

/**
 * The organization whose limits hold for a key, as an answer tells: keys with the same hint share a quota. OpenAI and
 * Groq name it when its limit is reached. The `openai-organization` of every other answer says too little: keys of
 * one organization may have projects, and so limits, of their own. Undefined where the answer does not say.
 */
export function groupHintOf({
  status,
  header,
  body,
  text,
}: Pick<Evidence, 'status' | 'header' | 'body' | 'text'>): string | undefined {
  const value = header(HEADER)?.trim();
  if (value !== undefined && value !== '' && value.length <= MAX_LENGTH) return value;
  return status === 429 ? NAMED.exec(readBody(body).message ?? text)?.[1] : undefined;
}
