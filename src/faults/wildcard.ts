const compiled = new Map<string, RegExp>();

/**
 * True where `text` fits `pattern`, in which `*` stands for anything. Case matters. Patterns are kept
 * compiled: they are those of profiles, a handful.
 */
export function fitsWildcard(pattern: string, text: string): boolean {
  if (!pattern.includes('*')) return pattern === text;
  let expression = compiled.get(pattern);
  if (!expression) compiled.set(pattern, (expression = wildcard(pattern, '.*')));
  return expression.test(text);
}

/** The expression of a whole text that fits, whatever its case; `star` is what `*` stands for. */
export function wildcard(pattern: string, star: '.*' | '[^.]*', flags: 's' | 'is' = 's'): RegExp {
  const literals = pattern.split('*').map((literal) => literal.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${literals.join(star)}$`, flags);
}
