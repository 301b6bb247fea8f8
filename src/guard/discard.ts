/** Nobody will see this answer any more: a Response that is left unread keeps its connection. */
export function discard(answer: unknown): void {
  if (!(answer instanceof Response) || !answer.body || answer.bodyUsed || answer.body.locked) return;
  answer.body.cancel().catch(() => {
    // Gone already.
  });
}
