import type { Evidence, FaultMatch } from './fault.ts';
import { readBody } from './read-body.ts';

/** "Request too large for gpt-4o ... (TPM): Limit 30000, Requested 52011." Groq puts a `~` before an estimate. */
const LIMIT_AND_REQUESTED = /\bLimit:? ([\d,]+)\b[^.]{0,80}\bRequested:? ~?([\d,]+)/;

/** No wait helps a request that is larger than the whole limit. */
export const asksForMoreThanTheLimit: Required<Pick<FaultMatch, 'test' | 'testMeans'>> = {
  test({ body, text }: Evidence) {
    const [, limit, requested] = LIMIT_AND_REQUESTED.exec(readBody(body).message ?? text) ?? [];
    return limit !== undefined && requested !== undefined && amount(requested) > amount(limit);
  },
  testMeans: 'the message says that more was requested than the whole limit',
};

function amount(text: string): number {
  return Number(text.replaceAll(',', ''));
}
