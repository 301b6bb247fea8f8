import { syncBuiltinESMExports } from 'node:module';
import { placeholder } from '../keys/placeholder.ts';
import { unmaskForChildren } from './child-processes.ts';

/**
 * Has `process.env` answer some variables by itself, until they are assigned or deleted. The guard goes on reading the
 * real environment, which it was given when it was made, and child processes get that too: one that is not
 * preloaded could not use a placeholder, and one that is starts from the real values. Returns the way back.
 */
export function interceptEnvironment(answers: ReadonlyMap<string, () => string | undefined>): () => void {
  const real = process.env;
  const live = new Map(answers);
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
  const remask = unmaskForChildren((name, value) => {
    if (value !== answerOf(name)) return value;
    return real[name] ?? (placeholder(value) === undefined ? value : undefined);
  });
  put(intercepted);
  return () => {
    remask();
    // Whoever has kept the intercepted one sees the real values through it.
    live.clear();
    put(process.env === intercepted ? real : process.env);
  };
}

/** `import { env } from 'node:process'` is a binding of its own, and so is what others import. */
function put(env: NodeJS.ProcessEnv): void {
  process.env = env;
  syncBuiltinESMExports();
}
