import { isOptions } from '../guard/config/plain.ts';

/** What a child process gets in the place of `value`; undefined where the variable is left out. */
export type Unmask = (name: string, value: string) => string | undefined;

type Arguments = readonly unknown[];

const SYNCHRONOUS = ['spawnSync', 'execSync', 'execFileSync'] as const;

/**
 * Has every variable of a child process's environment pass through `unmask`, whether the environment is inherited or
 * was copied from `process.env`. The builtin's ES exports are the caller's to synchronize. Returns the way back.
 */
export function unmaskForChildren(unmask: Unmask): () => void {
  const childProcess = process.getBuiltinModule('node:child_process');
  const undo = [
    // All that start a child without waiting for it come by here, in every way they are called.
    patched(childProcess.ChildProcess.prototype, 'spawn', ([options, ...rest]) => [withPairs(options, unmask), ...rest]),
    ...SYNCHRONOUS.map(name => patched(childProcess, name, args => withEnvironment(args, unmask))),
  ];
  return () => {
    for (const putBack of undo) putBack();
  };
}

function patched(target: object, name: string, change: (args: Arguments) => Arguments): () => void {
  const original: unknown = Reflect.get(target, name);
  if (typeof original !== 'function') return () => undefined;
  const replacement = new Proxy(original, {
    apply: (method, self, args: unknown[]) => Reflect.apply(method, self, change(args)) as unknown,
  });
  Reflect.set(target, name, replacement);
  return () => {
    if (Reflect.get(target, name) === replacement) Reflect.set(target, name, original);
  };
}

/** `NAME=value`, as Node hands the environment to the system. */
function withPairs(options: unknown, unmask: Unmask): unknown {
  if (!isOptions(options) || !Array.isArray(options.envPairs)) return options;
  const pairs: readonly unknown[] = options.envPairs;
  const envPairs = pairs.flatMap(pair => {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(String(pair)) ?? [];
    if (name === undefined || value === undefined) return [pair];
    const real = unmask(name, value);
    return real === undefined ? [] : [`${name}=${real}`];
  });
  return { ...options, envPairs };
}

/** The options come last, and may be left out. */
function withEnvironment(args: Arguments, unmask: Unmask): Arguments {
  const given = args.slice(0, args.findLastIndex(each => each != null) + 1);
  const last = given.at(-1);
  const options = isOptions(last) ? last : undefined;
  const variables = isOptions(options?.env) ? options.env : process.env;
  const env = Object.entries(variables).flatMap(([name, value]) => {
    const real = typeof value === 'string' ? unmask(name, value) : value;
    return real === undefined ? [] : [[name, real] as const];
  });
  return [...(options ? given.slice(0, -1) : given), { ...options, env: Object.fromEntries(env) }];
}
