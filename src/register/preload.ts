import { restoreCarried } from './environment.ts';
import { RegisterError } from './error.ts';
import { register } from './register.ts';
import { say } from './say.ts';
import { slot } from './slot.ts';

/**
 * Registers what the configuration file says, once in a thread, however often the entry is loaded. Ends the process
 * where that cannot be done: a program must not run half guarded.
 */
export function preload(): void {
  const known = slot();
  if (known.hasRun) return;
  known.hasRun = true;
  restoreCarried();
  try {
    register();
  } catch (error) {
    if (!(error instanceof RegisterError)) throw error;
    say(`execution-guard: ${error.message}`);
    process.exit(1);
  }
}
