/** On globalThis, so that the ESM and the CommonJS copy of the package do not take each other for the program. */
const KEY = Symbol.for('execution-guard.exit-flush');
const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

interface Holder {
  [KEY]?: ExitFlush | undefined;
}

/**
 * Runs `flush` before the process ends: when it exits, and when it is asked to by a signal, which then does what it
 * would have done. `flush` must not throw. Returns the way to forget it.
 */
export function beforeExit(flush: () => void): () => void {
  const holder: typeof globalThis & Holder = globalThis;
  const shared = (holder[KEY] ??= new ExitFlush());
  shared.add(flush);
  return () => shared.delete(flush);
}

/** One listener for all, there only while somebody needs it. */
class ExitFlush {
  private readonly flushes = new Set<() => void>();

  add(flush: () => void): void {
    if (this.flushes.size === 0) {
      process.on('exit', this.run);
      this.listen();
    }
    this.flushes.add(flush);
  }

  delete(flush: () => void): void {
    if (!this.flushes.delete(flush) || this.flushes.size > 0) return;
    process.off('exit', this.run);
    this.leave();
  }

  private readonly run = (): void => {
    for (const flush of this.flushes) flush();
  };

  /** First of all listeners: one that listens once is gone after its turn, and would be taken for not being there. */
  private listen(): void {
    for (const signal of SIGNALS) process.prependListener(signal, this.onSignal);
  }

  private leave(): void {
    for (const signal of SIGNALS) process.off(signal, this.onSignal);
  }

  private readonly onSignal = (signal: NodeJS.Signals): void => {
    this.run();
    // The others may count who listens, to know whether the process is to end by the signal.
    this.leave();
    if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
    else process.nextTick(() => {
      if (this.flushes.size > 0) this.listen();
    });
  };
}
