import { property } from '../faults/safe-read.ts';
import { audienceOf } from './audience.ts';
import { fetchBy } from './dispatch-fetch.ts';
import { targetOf } from './dispatch-target.ts';
import type { Gate } from './gate.ts';
import { play } from './playback.ts';

/** As the platform's own fetch takes it. */
type Dispatcher = NonNullable<RequestInit['dispatcher']>;

/** Where undici keeps its dispatcher: up to version 7, which Node has built in, and since version 8. */
const PLACES = [Symbol.for('undici.globalDispatcher.1'), Symbol.for('undici.globalDispatcher.2')] as const;

/** What stands behind each guarded dispatcher. */
const originals = new WeakMap<Dispatcher, Dispatcher>();

/** Guards the dispatchers that are in use now. Returns the way back. */
export function guardGlobalDispatchers(gate: Gate): () => void {
  // Node loads its undici with the first of its classes that is asked for.
  Reflect.get(globalThis, 'Response');
  const replaced = PLACES.flatMap(place => {
    const original = dispatcherAt(place);
    if (!original) return [];
    const guarded = guardedDispatcher(original, gate);
    originals.set(guarded, original);
    Reflect.set(globalThis, place, guarded);
    return [{ place, original, guarded }];
  });
  return () => {
    for (const { place, original, guarded } of replaced) {
      // One that the program has set since is its own.
      if (dispatcherAt(place) === guarded) Reflect.set(globalThis, place, original);
    }
  };
}

/** What the platform's own fetch is to send by, so that nobody guards it again; undefined where nobody does. */
export function unguardedDispatcher(): Dispatcher | undefined {
  const dispatcher = dispatcherAt(PLACES[0]);
  return dispatcher && originals.get(dispatcher);
}

function dispatcherAt(place: symbol): Dispatcher | undefined {
  const found: unknown = Reflect.get(globalThis, place);
  return isDispatcher(found) ? found : undefined;
}

function isDispatcher(value: unknown): value is Dispatcher {
  return typeof property(value, 'dispatch') === 'function';
}

function guardedDispatcher(original: Dispatcher, gate: Gate): Dispatcher {
  const dispatch: Dispatcher['dispatch'] = (options, handler) => {
    const target = targetOf({ ...options });
    const destination = gate.destinationOf(target);
    const audience = audienceOf(handler);
    if (!target || !destination || !audience) return original.dispatch(options, handler);
    void play(
      signal => gate.send(fetchBy(original, { ...options }), { ...target, signal }, destination),
      audience,
    );
    return true;
  };
  return new Proxy(original, {
    get(target, name) {
      if (name === 'dispatch') return dispatch;
      const member: unknown = Reflect.get(target, name, target);
      // These have private fields in some versions. All others may come back to `dispatch`, and are to.
      const isOwn = (name === 'close' || name === 'destroy') && typeof member === 'function';
      return isOwn ? (member.bind(target) as unknown) : member;
    },
  });
}
