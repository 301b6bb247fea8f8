import { property } from '../faults/safe-read.ts';
import { audienceOf } from './audience.ts';
import { fetchBy } from './dispatch-fetch.ts';
import { targetOf } from './dispatch-target.ts';
import type { Gate } from './gate.ts';
import { onGlobalDefined } from './global-defined.ts';
import { play } from './playback.ts';

/** As the platform's own fetch takes it. */
type Dispatcher = NonNullable<RequestInit['dispatcher']>;

/** Where undici keeps its dispatcher: up to version 7, which Node has built in, and since version 7.30. */
const PLACES = [Symbol.for('undici.globalDispatcher.1'), Symbol.for('undici.globalDispatcher.2')] as const;

/** What stands behind each guarded dispatcher. */
const originals = new WeakMap<Dispatcher, Dispatcher>();

/** Guards the dispatchers that are in use now, and those that come into use later. Returns the way back. */
export function guardGlobalDispatchers(gate: Gate): () => void {
  const known = new WeakMap<Dispatcher, Dispatcher>();
  const guardedFor = (given: Dispatcher): Dispatcher => {
    const original = originals.get(given) ?? given;
    let guarded = known.get(original);
    if (!guarded) {
      known.set(original, (guarded = guardedDispatcher(original, gate)));
      originals.set(guarded, original);
    }
    return guarded;
  };
  for (const place of PLACES) {
    const found = dispatcherAt(place);
    if (found) Reflect.set(globalThis, place, guardedFor(found));
  }
  const unwatch = onGlobalDefined(PLACES, value => (isDispatcher(value) ? guardedFor(value) : value));
  return () => {
    unwatch();
    for (const place of PLACES) {
      const found = dispatcherAt(place);
      const original = found && originals.get(found);
      if (original) Reflect.set(globalThis, place, original);
    }
  };
}

/** What the platform's own fetch is to send by, so that nobody guards it again; undefined where nobody does. */
export function unguardedDispatcher(): Dispatcher | undefined {
  // Node loads its undici, which sets a dispatcher where there is none, with the first of its classes that is asked for.
  Reflect.get(globalThis, 'Response');
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
    const isUnderstood = audience && (audience.isOlder || !takesOlderOnly(original));
    if (!target || !destination || !isUnderstood) return original.dispatch(options, handler);
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

/**
 * Up to version 6, whose dispatchers have `interceptors`, undici refuses handlers of the newer kind. Those of a newer
 * version that its `compose` is given hear of no error there, as they count on the newer `compose`.
 */
function takesOlderOnly(dispatcher: Dispatcher): boolean {
  return 'interceptors' in dispatcher;
}
