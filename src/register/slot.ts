/** On globalThis, so that the ESM and the CommonJS copy of the package know of each other. */
const KEY = Symbol.for('execution-guard.register');

/** What is known of registrations in this thread. */
export interface Slot {
  /** True once the preloader has run, whatever came of it. */
  hasRun?: boolean;
  /** Takes off what is registered now. */
  takeOff?: (() => void) | undefined;
}

interface Holder {
  [KEY]?: Slot | undefined;
}

export function slot(): Slot {
  const holder: typeof globalThis & Holder = globalThis;
  return (holder[KEY] ??= {});
}
