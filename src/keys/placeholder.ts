const PLACEHOLDER = /^guard(?::(.+))?$/is;

/** The provider that a placeholder names: `gemini` of `guard:gemini`, '' of `guard`; undefined for any other value. */
export function placeholder(value: string | undefined): string | undefined {
  const match = value === undefined ? null : PLACEHOLDER.exec(value);
  return match ? (match[1] ?? '') : undefined;
}

/** What stands for a provider's key where the guard puts in the real one. */
export function placeholderFor(provider: string): string {
  return `guard:${provider}`;
}
