/** A script's answer, from outside and so of no known type. */
export function list(reply: unknown): readonly unknown[] {
  return Array.isArray(reply) ? reply : [];
}

export function text(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
}

/** True where the server has answered, with an error: it has done nothing, and will not. */
export function isRefusal(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError';
}
