/** What was thrown, in a word that shows nothing of it. */
export function errorName(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}
