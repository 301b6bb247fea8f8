import { concealed, INSPECT } from '../keys/concealed.ts';
import type { Lease } from '../keys/lease.ts';
import type { Pool } from '../keys/pool.ts';
import { onAbort } from './abort.ts';
import type { Call } from './call.ts';
import type { CallContext, Usage } from './options.ts';
import type { Runtime } from './runtime.ts';
import { whenStreamEnds } from './stream.ts';

/** Aborts the signal of the context, for the attempt's end or its caller's sake. */
export let abortAttempt: (context: AttemptContext, reason: unknown) => void;

/** The attempt is over. What it was answered with may be a stream, which its caller can still abort. */
export let endAttempt: (context: AttemptContext, value: unknown) => void;

/** The signal of an attempt, with the ways to hear no more of its caller's abort and of the guard's end. */
interface Link {
  readonly controller: AbortController;
  forgetCaller: (() => void) | undefined;
  forgetGuard: (() => void) | undefined;
}

/** The callback's context. What most callbacks do not ask for is made when it is asked for. */
export class AttemptContext implements CallContext {
  declare readonly apiKey?: string;
  readonly keyId: string | undefined;
  readonly provider: string;
  readonly model: string | undefined;
  readonly attempt: number;
  readonly #lease: Lease | undefined;
  readonly #pool: Pool | undefined;
  readonly #callerSignal: AbortSignal | undefined;
  readonly #runtime: Runtime;
  /** Made when the signal is asked for, or has to abort. */
  #link: Link | undefined;
  /** `over`: the answer, too, has been read to its end, and nobody would take a listener back. */
  #phase: 'under way' | 'ended' | 'over' = 'under way';

  // Not methods of the object: the callback holds it, and is neither to abort nor to end its own attempt.
  static {
    abortAttempt = (context, reason) => context.#abort(reason);
    endAttempt = (context, value) => context.#end(value);
  }

  constructor(call: Call, runtime: Runtime) {
    const { lease } = call;
    const apiKey = lease ? lease.key.reveal() : call.environmentKey;
    if (apiKey !== undefined) this.apiKey = apiKey;
    this.keyId = lease?.key.id;
    this.provider = call.provider.name;
    this.model = call.model;
    this.attempt = call.attemptsInAll;
    this.#lease = lease;
    this.#pool = call.pool;
    this.#callerSignal = call.options.signal;
    this.#runtime = runtime;
  }

  get signal(): AbortSignal {
    return (this.#link ??= this.#connect()).controller.signal;
  }

  get bind(): (resource: string) => void {
    return resource => {
      if (this.#lease) this.#pool?.attachments.bind(resource, this.#lease.key);
    };
  }

  get reportUsage(): (usage: Usage) => void {
    return usage => this.#lease?.reportUsage(usage, this.#runtime.clock.now());
  }

  #abort(reason: unknown): void {
    this.#link ??= unconnected();
    // The first reason stays.
    this.#link.controller.abort(reason);
  }

  #end(value: unknown): void {
    this.#phase = 'ended';
    this.#link?.forgetGuard?.();
    if (this.#callerSignal) this.#overAfter(value);
  }

  #overAfter(value: unknown): void {
    if (!whenStreamEnds(value, () => this.#over())) this.#over();
  }

  #over(): void {
    this.#phase = 'over';
    this.#link?.forgetCaller?.();
  }

  /** Logs get a mask in the key's place; whoever takes `apiKey` or copies the context gets the key. */
  toJSON(): object {
    return concealed(this);
  }

  [INSPECT](): object {
    return concealed(this);
  }

  #connect(): Link {
    const link = unconnected();
    const { controller } = link;
    const signal = this.#callerSignal;
    if (signal?.aborted) controller.abort(signal.reason);
    else if (signal && this.#phase !== 'over') link.forgetCaller = onAbort(signal, () => controller.abort(signal.reason));
    // A generator may ask only while it is read; its attempt, which the guard could end, is over then.
    if (this.#phase === 'under way') link.forgetGuard = this.#runtime.interruptions.onClose(why => controller.abort(why));
    return link;
  }
}

function unconnected(): Link {
  return { controller: new AbortController(), forgetCaller: undefined, forgetGuard: undefined };
}
