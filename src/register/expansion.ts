import { isOptions } from '../guard/config/plain.ts';

const REFERENCE = /\$\{([A-Za-z_]\w*)\}/g;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * A configuration whose keys are written out, `${GEMINI_KEY_1}` being what the variable holds. With a variable
 * that is not set the whole key is blank, and the guard leaves it out with a warning.
 */
export function expanded(config: unknown, env: Environment): unknown {
  return within(config, 'keyManagement', keyManagement =>
    within(keyManagement, 'providers', providers =>
      isOptions(providers) ? mapped(providers, pool => poolOf(pool, env)) : providers,
    ),
  );
}

function poolOf(pool: unknown, env: Environment): unknown {
  const ofAll = within(pool, 'keys', keys => keysOf(keys, env));
  return within(ofAll, 'models', models => (isOptions(models) ? mapped(models, keys => keysOf(keys, env)) : models));
}

function keysOf(keys: unknown, env: Environment): unknown {
  if (!Array.isArray(keys)) return keys;
  return keys.map((entry: unknown) =>
    typeof entry === 'string' ? secretOf(entry, env) : within(entry, 'key', key => secretOf(key, env)),
  );
}

function secretOf(secret: unknown, env: Environment): unknown {
  if (typeof secret !== 'string') return secret;
  const valueOf = (name: string): string => env[name]?.trim() ?? '';
  const names = Array.from(secret.matchAll(REFERENCE), ([, name]) => name!);
  if (names.some(name => valueOf(name) === '')) return '';
  return secret.replace(REFERENCE, (_, name: string) => valueOf(name));
}

function within(value: unknown, name: string, change: (member: unknown) => unknown): unknown {
  if (!isOptions(value) || !Object.hasOwn(value, name)) return value;
  return mapped(value, (member, key) => (key === name ? change(member) : member));
}

function mapped(value: Readonly<Record<string, unknown>>, change: (member: unknown, name: string) => unknown): object {
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, change(member, name)]));
}
