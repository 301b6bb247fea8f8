import type { Clock } from '../clock.ts';
import { concealed, INSPECT } from '../keys/concealed.ts';
import type { Lease } from '../keys/lease.ts';
import { onAbort } from './abort.ts';
import type { Call } from './call.ts';
import type { Interruptions } from './interruption.ts';
import type { CallContext, Usage } from './options.ts';
import { whenStreamEnds } from './stream.ts';

/** Aborts the signal of the context, for the attempt's end or its caller's sake. */
export let abortAttempt: (context: AttemptContext, reason: unknown) => void;

/** The attempt is over. What it was answered with may be a stream, which its caller can still abort. */
export let endAttempt: (context: AttemptContext, value: unknown) => void;

/** The callback's context. What most callbacks do not ask for is made when it is asked for. */
export class AttemptContext implements CallContext {
  declare readonly apiKey?: string;
  readonly keyId: string | undefined;
  readonly provider: string;
  readonly model: string | undefined;
  readonly attempt: number;
  readonly #lease: Lease | undefined;
  readonly #callerSignal: AbortSignal | undefined;
  readonly #clock: Clock;
  readonly #interruptions: Interruptions;
  #controller: AbortController | undefined;
  #aborted: { readonly reason: unknown } | undefined;
  #forgetCaller: (() => void) | undefined;
  #forgetGuard: (() => void) | undefined;
  #hasEnded = false;
  /** The answer, too, has been read to its end: nobody would take a listener back. */
  #isOver = false;

  // Not methods of the object: the callback holds it, and is neither to abort nor to end its own attempt.
  static {
    abortAttempt = (context, reason) => context.#abort(reason);
    endAttempt = (context, value) => context.#end(value);
  }

  constructor(call: Call, clock: Clock, interruptions: Interruptions) {
    const { lease } = call;
    const apiKey = lease ? lease.key.reveal() : call.environmentKey;
    if (apiKey !== undefined) this.apiKey = apiKey;
    this.keyId = lease?.key.id;
    this.provider = call.provider.name;
    this.model = call.model;
    this.attempt = call.attempts;
    this.#lease = lease;
    this.#callerSignal = call.options.signal;
    this.#clock = clock;
    this.#interruptions = interruptions;
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#aborted.reason);
      else this.#connect();
    }
    return this.#controller.signal;
  }

  get reportUsage(): (usage: Usage) => void {
    return usage => this.#lease?.reportUsage(usage, this.#clock.now());
  }

  #abort(reason: unknown): void {
    if (this.#aborted) return;
    this.#aborted = { reason };
    this.#controller?.abort(reason);
  }

  #end(value: unknown): void {
    this.#hasEnded = true;
    this.#forgetGuard?.();
    if (!this.#callerSignal) return;
    const over = (): void => {
      this.#isOver = true;
      this.#forgetCaller?.();
    };
    if (!whenStreamEnds(value, over)) over();
  }

  /** Logs get a mask in the key's place; whoever takes `apiKey` or copies the context gets the key. */
  toJSON(): object {
    return concealed(this);
  }

  [INSPECT](): object {
    return concealed(this);
  }

  #connect(): void {
    const signal = this.#callerSignal;
    if (signal?.aborted) this.#abort(signal.reason);
    else if (signal && !this.#isOver) this.#forgetCaller = onAbort(signal, () => this.#abort(signal.reason));
    // A generator may ask only while it is read; its attempt, which the guard could end, is over then.
    if (!this.#hasEnded) this.#forgetGuard = this.#interruptions.onClose(why => this.#abort(why));
  }
}
