export interface GlobOptions {
  /** Letters match whatever their case. Default false. */
  readonly ignoreCase?: boolean;
}

/**
 * Compiles a pattern in which `*` stands for any run of characters, `/` included, and every other
 * character for itself. The returned test takes time linear in the text, however many `*` there are:
 * the leftmost fit of each literal is always the right one, so nothing is ever tried twice.
 */
export function compileGlob(pattern: string, options: GlobOptions = {}): (text: string) => boolean {
  return options.ignoreCase === true ? compileFolded(pattern) : compileExact(pattern);
}

function compileFolded(pattern: string): (text: string) => boolean {
  const matches = compileExact(pattern.toLowerCase());
  return (text) => matches(text.toLowerCase());
}

function compileExact(pattern: string): (text: string) => boolean {
  const literals = pattern.split('*');
  const head = literals[0]!;
  if (literals.length === 1) return (text) => text === head;
  const tail = literals.at(-1)!;
  const middle = literals.slice(1, -1).filter((literal) => literal !== '');
  const shortest = head.length + tail.length;

  return (text) => {
    const end = text.length - tail.length;
    if (text.length < shortest || !text.startsWith(head) || !text.endsWith(tail)) return false;
    let from = head.length;
    for (const literal of middle) {
      const at = text.indexOf(literal, from);
      if (at === -1) return false;
      from = at + literal.length;
    }
    return from <= end;
  };
}
