import { isMainThread } from 'node:worker_threads';
import { ConfigError } from '../guard/errors.ts';
import { ExecutionGuard } from '../guard/execution-guard.ts';
import { BEST_SECRET } from '../guard/key-manager.ts';
import { placeholderFor } from '../keys/placeholder.ts';
import { readConfigFile, type ConfigFile } from './config-file.ts';
import { checked, invalid, type Configuration } from './configuration.ts';
import { interceptEnvironment } from './environment.ts';
import { Gate } from './gate.ts';
import { guardGlobalDispatchers } from './global-dispatcher.ts';
import { guardGlobalFetch } from './global-fetch.ts';
import { say } from './say.ts';
import type { RegisterConfig } from './section.ts';
import { slot } from './slot.ts';
import { summary } from './summary.ts';
import { answersOf, type Answer } from './variables.ts';

/**
 * Configures the shared guard and has every request of `fetch` and undici in this thread go through it. What was
 * registered before is taken off first. With a configuration that names no pool it does nothing.
 *
 * @param source a configuration, or the name of its file, relative to the current directory; where absent, the file is
 * searched for as the preloader does
 * @returns whether anything is guarded now
 * @throws RegisterError naming all that is wrong; what was registered before stays then
 */
export function register(source?: string | RegisterConfig): boolean {
  return registerFile(
    typeof source === 'object'
      ? { name: 'the configuration', content: source }
      : readConfigFile(source, { cwd: process.cwd(), env: process.env }),
  );
}

/** As {@link register}, with what a file says. */
export function registerFile(file: ConfigFile | undefined): boolean {
  const configuration = file && checked(file.content, file.name);
  const { keyManagement, enabled = false } = configuration?.resolved ?? {};
  const pools = enabled && keyManagement?.enabled ? keyManagement.providers : {};
  const read = answersOf(configuration?.section.interceptEnv, pools);
  if (!file || !configuration || Object.keys(pools).length === 0) {
    unregister();
    return false;
  }
  if (read.issues) throw invalid(file.name, read.issues);

  const guard = configured(configuration, file.name);
  unregister();
  slot().takeOff = install(guard, configuration, read.answers);
  if (!configuration.section.quiet && isMainThread) say(summary(guard, Object.keys(pools), file.name));
  return true;
}

/** Puts back the global fetch, the dispatchers and the environment. The shared guard keeps its configuration. */
export function unregister(): void {
  const known = slot();
  known.takeOff?.();
  known.takeOff = undefined;
}

function configured({ guard: config }: Configuration, name: string): ExecutionGuard {
  const guard = ExecutionGuard.getInstance();
  try {
    guard.updateConfig(config);
  } catch (error) {
    throw error instanceof ConfigError ? invalid(name, error.issues) : error;
  }
  return guard;
}

function install(
  guard: ExecutionGuard,
  { section }: Configuration,
  answers: ReadonlyMap<string, Answer>,
): () => void {
  const gate = new Gate(guard, { ...section.fetch });
  const steps = [() => gate.close(), guardGlobalFetch(gate), guardGlobalDispatchers(gate)];
  if (answers.size > 0) steps.push(interceptEnvironment(answering(guard, answers)));
  return () => {
    for (const undo of steps.reverse()) undo();
  };
}

function answering(
  guard: ExecutionGuard,
  answers: ReadonlyMap<string, Answer>,
): ReadonlyMap<string, () => string | undefined> {
  return new Map(
    [...answers].map(([variable, { provider, with: kind }]) => [
      variable,
      kind === 'key' ? () => guard.keys[BEST_SECRET](provider) : () => placeholderFor(provider),
    ]),
  );
}
