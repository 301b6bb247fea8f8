/** One caller's wait; emptied when it ends, so that a kept unsubscribe function keeps nothing else alive. */
interface Subscription {
  signal: AbortSignal | undefined;
  listener: (() => void) | undefined;
}

/** All that wait for one signal. */
interface Hub {
  readonly subscriptions: Set<Subscription>;
  readonly dispatch: () => void;
}

const hubs = new WeakMap<AbortSignal, Hub>();

/**
 * Calls `listener` once when `signal` aborts; at once, synchronously, if it already has. Returns the
 * way to unsubscribe, which may be called at any time and more than once.
 *
 * However many calls share a signal, the signal carries one real listener (Node warns of a leak from
 * the eleventh), and none when nobody is subscribed. Every listener runs even if another one throws;
 * the first error then surfaces as that of any event listener does.
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  if (signal.aborted) {
    listener();
    return ignore;
  }
  const hub = hubs.get(signal) ?? openHub(signal);
  const subscription: Subscription = { signal, listener };
  hub.subscriptions.add(subscription);
  return unsubscriber(hub, subscription);
}

// A function of its own: a closure made in onAbort would hold its arguments.
function unsubscriber(hub: Hub, subscription: Subscription): () => void {
  return () => {
    const { signal } = subscription;
    subscription.signal = undefined;
    subscription.listener = undefined;
    if (signal === undefined) return;
    hub.subscriptions.delete(subscription);
    if (hub.subscriptions.size > 0) return;
    signal.removeEventListener('abort', hub.dispatch);
    hubs.delete(signal);
  };
}

function openHub(signal: AbortSignal): Hub {
  const subscriptions = new Set<Subscription>();
  const hub: Hub = { subscriptions, dispatch: () => dispatch(subscriptions) };
  hubs.set(signal, hub);
  signal.addEventListener('abort', hub.dispatch, { once: true });
  return hub;
}

function dispatch(subscriptions: Set<Subscription>): void {
  const errors: unknown[] = [];
  // Not a copy: one listener may unsubscribe another that has not run yet.
  for (const subscription of subscriptions) {
    const { listener } = subscription;
    subscriptions.delete(subscription);
    subscription.signal = undefined;
    subscription.listener = undefined;
    try {
      listener?.();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

function ignore(): void {
  // An aborted signal has nothing to unsubscribe from.
}
