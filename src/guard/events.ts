import type { KeyChange } from '../keys/settlement.ts';
import { ConfigError, type AttemptRecord } from './errors.ts';
import type { KeyExplanation } from './explain.ts';

/** A call has ended. */
export interface CallEvent {
  /** Who answered, or had the last word. */
  readonly provider: string;
  readonly model: string | undefined;
  /** Whom the call was made for, where that is not who answered; absent where it did not fall back. */
  readonly fellBackFrom?: { readonly provider: string; readonly model: string | undefined };
  readonly ok: boolean;
  /** The key that answered; undefined where none did, or no pool matched. */
  readonly keyId: string | undefined;
  readonly attempts: number;
  readonly durationMs: number;
  /** `code` or name of the error the call was rejected with. */
  readonly error: string | undefined;
  readonly userId: string | undefined;
  readonly sessionId: string | undefined;
  readonly tags: readonly string[];
}

/** One attempt has ended. */
export interface AttemptEvent extends AttemptRecord {
  /** 1 for the first attempt of its call. */
  readonly attempt: number;
  readonly ok: boolean;
}

/** A key was chosen for an attempt, or none was to be had. Costs time with every key of the pool while it is heard. */
export interface ChoiceEvent {
  readonly provider: string;
  readonly model: string | undefined;
  readonly pool: string;
  /** 1 for the first attempt of its call. */
  readonly attempt: number;
  /** Undefined where no key was to be had: the call waits, or goes elsewhere. */
  readonly keyId: string | undefined;
  /** Why each key was or was not chosen, as it was at that moment. A store that is shared may choose another one. */
  readonly keys: readonly KeyExplanation[];
  readonly userId: string | undefined;
  readonly sessionId: string | undefined;
  readonly tags: readonly string[];
}

/** A key, one model of a key, or a group has changed its state. */
export interface KeyEvent extends KeyChange {
  readonly pool: string;
}

/** The call goes on with another key. */
export interface FailoverEvent {
  readonly provider: string;
  readonly model: string | undefined;
  readonly from: string;
  readonly to: string;
  /** The kind of the fault that made it move on. */
  readonly fault: string;
}

/** The call goes on with another provider or model. */
export interface FallbackEvent {
  readonly provider: string;
  readonly model: string | undefined;
  readonly toProvider: string;
  readonly toModel: string | undefined;
  /** The kind of the fault, or the `code` of the guard's refusal, that made it move on. */
  readonly reason: string;
}

export interface BreakerEvent {
  readonly provider: string;
  readonly state: 'CLOSED' | 'OPEN' | 'HALF_OPEN';
}

/** A call waits, goes on, gives up waiting, or was turned away. */
export interface QueueEvent {
  readonly provider: string;
  readonly what: 'waiting' | 'started' | 'left' | 'full';
  /** Calls of this provider that wait now. */
  readonly size: number;
}

/** A key was replaced by another one. */
export interface RotationEvent {
  readonly pool: string;
  readonly oldKeyId: string;
  readonly newKeyId: string;
  /** Epoch ms; until then both serve. */
  readonly retireAt: number;
}

export interface GuardEvents {
  call: CallEvent;
  attempt: AttemptEvent;
  choice: ChoiceEvent;
  key: KeyEvent;
  failover: FailoverEvent;
  fallback: FallbackEvent;
  breaker: BreakerEvent;
  queue: QueueEvent;
  rotation: RotationEvent;
}

export type GuardEventName = keyof GuardEvents;
/** What it returns is ignored, but where it is a promise that is rejected. */
export type Listener<Name extends GuardEventName> = (event: GuardEvents[Name]) => unknown;

const EVENT_NAMES: readonly GuardEventName[] = [
  'call',
  'attempt',
  'choice',
  'key',
  'failover',
  'fallback',
  'breaker',
  'queue',
  'rotation',
];

type Listeners = { [Name in GuardEventName]?: Set<Listener<Name>> };

/** Typed events. Ask {@link heard} before building a payload: an event nobody hears costs nothing. */
export class Events {
  private readonly listeners: Listeners = {};
  /** Listeners of all events. */
  private count = 0;
  private readonly onListenerError: (error: unknown) => void;

  constructor(onListenerError: (error: unknown) => void) {
    this.onListenerError = onListenerError;
  }

  /**
   * Returns the way to unsubscribe.
   *
   * @throws ConfigError where there is no such event, or nothing to call
   */
  on<Name extends GuardEventName>(name: Name, listener: Listener<Name>): () => void {
    if (!EVENT_NAMES.includes(name)) {
      const known = EVENT_NAMES.join(', ');
      throw new ConfigError([{ path: 'on', message: `no event ${JSON.stringify(name)}; there are ${known}` }]);
    }
    if (typeof listener !== 'function') {
      throw new ConfigError([{ path: 'on', message: `expected a function to call, found ${typeof listener}` }]);
    }
    // Typed by name, the table cannot be written through a generic index; the set is made for its name.
    const listeners: { [N in Name]?: Set<Listener<N>> } = this.listeners;
    const set = (listeners[name] ??= new Set());
    if (!set.has(listener)) this.count++;
    set.add(listener);
    return () => {
      if (set.delete(listener)) this.count--;
    };
  }

  heard(name: GuardEventName): boolean {
    // Asked several times by every call, and most guards have no listener at all.
    if (this.count === 0) return false;
    const set = this.listeners[name];
    return set !== undefined && set.size > 0;
  }

  /** A listener that throws, or rejects, is reported, and changes nothing for the call or the other listeners. */
  emit<Name extends GuardEventName>(name: Name, event: GuardEvents[Name]): void {
    const listeners: { [N in Name]?: Set<Listener<N>> } = this.listeners;
    for (const listener of listeners[name] ?? []) {
      try {
        const result = listener(event);
        // An async listener rejects instead of throwing.
        if (result instanceof Promise) result.catch(this.onListenerError);
      } catch (error) {
        this.onListenerError(error);
      }
    }
  }
}
