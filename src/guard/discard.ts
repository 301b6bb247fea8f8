import { isResponse } from '../faults/response-text.ts';

/** Nobody will see this answer any more: a Response that is left unread keeps its connection. */
export function discard(answer: unknown): void {
  // By its tag: to ask a Proxy for its prototype may throw.
  if (!isResponse(answer) || !(answer instanceof Response)) return;
  if (!answer.body || answer.bodyUsed || answer.body.locked) return;
  answer.body.cancel().catch(() => {
    // Gone already.
  });
}
