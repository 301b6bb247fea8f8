import { getEventListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { onAbort } from '../../src/guard/abort.ts';

const listenersOf = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

describe('onAbort', () => {
  test('calls every listener once when the signal aborts', () => {
    const controller = new AbortController();
    const calls: string[] = [];
    onAbort(controller.signal, () => calls.push('a'));
    onAbort(controller.signal, () => calls.push('b'));
    controller.abort();
    controller.abort();
    expect(calls).toEqual(['a', 'b']);
  });

  test('calls the listener at once when the signal has already aborted', () => {
    const calls: string[] = [];
    const unsubscribe = onAbort(AbortSignal.abort(), () => calls.push('a'));
    expect(calls).toEqual(['a']);
    unsubscribe();
    expect(calls).toEqual(['a']);
  });

  test('a thousand calls on one signal cost it one listener', () => {
    const { signal } = new AbortController();
    const unsubscribers = Array.from({ length: 1000 }, () => onAbort(signal, () => undefined));
    expect(listenersOf(signal)).toBe(1);
    for (const unsubscribe of unsubscribers.slice(1)) unsubscribe();
    expect(listenersOf(signal)).toBe(1);
    unsubscribers[0]!();
    expect(listenersOf(signal)).toBe(0);
  });

  test('an unsubscribed listener is not called, its neighbour is', () => {
    const controller = new AbortController();
    const calls: string[] = [];
    const unsubscribe = onAbort(controller.signal, () => calls.push('a'));
    onAbort(controller.signal, () => calls.push('b'));
    unsubscribe();
    unsubscribe();
    controller.abort();
    expect(calls).toEqual(['b']);
  });

  test('the same function subscribed twice counts twice', () => {
    const controller = new AbortController();
    let calls = 0;
    const listener = () => { calls += 1; };
    const unsubscribe = onAbort(controller.signal, listener);
    onAbort(controller.signal, listener);
    unsubscribe();
    controller.abort();
    expect(calls).toBe(1);
  });

  test('unsubscribing twice does not take away a later subscriber', () => {
    const controller = new AbortController();
    let called = false;
    const unsubscribe = onAbort(controller.signal, () => undefined);
    unsubscribe();
    onAbort(controller.signal, () => { called = true; });
    unsubscribe();
    controller.abort();
    expect(called).toBe(true);
  });

  test('a listener may unsubscribe one that has not run yet', () => {
    const controller = new AbortController();
    const calls: string[] = [];
    onAbort(controller.signal, () => {
      calls.push('a');
      unsubscribe();
    });
    const unsubscribe = onAbort(controller.signal, () => calls.push('b'));
    controller.abort();
    expect(calls).toEqual(['a']);
  });

  test('a listener that throws does not keep the others from hearing', () => {
    const calls: string[] = [];
    // Called by hand: an error out of a real dispatch is an uncaught exception.
    const signal = new ManualSignal();
    onAbort(signal, () => { throw new Error('first'); });
    onAbort(signal, () => { throw new Error('second'); });
    onAbort(signal, () => calls.push('c'));
    expect(() => signal.dispatch()).toThrow('first');
    expect(calls).toEqual(['c']);
  });

  test('after unsubscribing, neither the signal nor the listener is kept alive', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const { kept, signal, listener } = (() => {
      const target = new AbortController().signal;
      const heavy = () => undefined;
      const unsubscribe = onAbort(target, heavy);
      unsubscribe();
      return { kept: unsubscribe, signal: new WeakRef(target), listener: new WeakRef(heavy) };
    })();
    // WeakRef targets live to the end of the turn that made them.
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    expect(listener.deref()).toBeUndefined();
    expect(signal.deref()).toBeUndefined();
    kept();
  });
});

class ManualSignal extends EventTarget implements AbortSignal {
  readonly aborted = false;
  readonly reason: unknown = undefined;
  onabort: AbortSignal['onabort'] = null;
  #listener: (() => void) | undefined;

  override addEventListener(_type: string, listener: unknown): void {
    this.#listener = listener as () => void;
  }

  throwIfAborted(): void {
    // Never aborted.
  }

  dispatch(): void {
    this.#listener?.();
  }
}
