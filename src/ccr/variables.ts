export type Variables = Readonly<Record<string, string | undefined>>;

/**
 * A copy in which `$NAME` and `${NAME}` stand for environment variables, as they do in the rest of the router's
 * config.json: the router hands a transformer its options without having looked at them. A variable that is not
 * set is empty.
 */
export function withVariables(value: unknown, env: Variables): unknown {
  if (typeof value === 'string') {
    return value.replace(/\$\{[^}]+\}|\$[A-Z_][A-Z0-9_]*/g, found => env[found.replace(/[${}]/g, '')] ?? '');
  }
  if (Array.isArray(value)) return value.map(item => withVariables(item, env));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, withVariables(member, env)]));
}
