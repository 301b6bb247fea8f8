import { syncBuiltinESMExports } from 'node:module';
import { isOptions } from '../guard/config/plain.ts';

/** What a child process is told of the real values, so that a preloader there can put them back. */
const CARRIED = 'EXECUTION_GUARD_ENV';

/**
 * Has `process.env` answer some variables by itself, until they are assigned or deleted. The guard goes on reading the
 * real environment, which it was given when it was made. Returns the way back.
 */
export function interceptEnvironment(answers: ReadonlyMap<string, () => string | undefined>): () => void {
  const real = process.env;
  const live = new Map(answers);
  if (live.size > 0) live.set(CARRIED, () => carried(real, live));
  const answerOf = (name: PropertyKey): string | undefined =>
    typeof name === 'string' ? live.get(name)?.() : undefined;
  const intercepted = new Proxy(real, {
    get: (target, name) => answerOf(name) ?? (Reflect.get(target, name) as unknown),
    has: (target, name) => answerOf(name) !== undefined || Reflect.has(target, name),
    ownKeys: target => {
      const answering = [...live.keys()].filter(name => answerOf(name) !== undefined);
      return [...new Set([...Reflect.ownKeys(target), ...answering])];
    },
    getOwnPropertyDescriptor: (target, name) => {
      const value = answerOf(name);
      if (value === undefined) return Reflect.getOwnPropertyDescriptor(target, name);
      return { value, writable: true, enumerable: true, configurable: true };
    },
    // The program's own value is what it expects to read.
    set: (target, name, value) => {
      live.delete(String(name));
      return Reflect.set(target, name, value);
    },
    defineProperty: (target, name, descriptor) => {
      live.delete(String(name));
      return Reflect.defineProperty(target, name, descriptor);
    },
    deleteProperty: (target, name) => {
      live.delete(String(name));
      return Reflect.deleteProperty(target, name);
    },
  });
  put(intercepted);
  return () => {
    // Whoever has kept the intercepted one sees the real values through it.
    live.clear();
    if (process.env === intercepted) put(real);
  };
}

/** Puts back what the parent process has intercepted: this one makes its own answers, or none. */
export function restoreCarried(): void {
  const text = process.env[CARRIED];
  if (text === undefined) return;
  Reflect.deleteProperty(process.env, CARRIED);
  let variables: unknown;
  try {
    variables = JSON.parse(text);
  } catch {
    return;
  }
  if (!isOptions(variables)) return;
  for (const [name, values] of Object.entries(variables)) {
    if (!isOptions(values) || process.env[name] !== values.is) continue;
    if (typeof values.was === 'string') process.env[name] = values.was;
    else Reflect.deleteProperty(process.env, name);
  }
}

function carried(real: NodeJS.ProcessEnv, live: ReadonlyMap<string, () => string | undefined>): string {
  const variables = [...live].flatMap(([name, answer]) =>
    name === CARRIED ? [] : [[name, { is: answer(), was: real[name] }] as const],
  );
  return JSON.stringify(Object.fromEntries(variables));
}

/** `import { env } from 'node:process'` is a binding of its own. */
function put(env: NodeJS.ProcessEnv): void {
  process.env = env;
  syncBuiltinESMExports();
}
