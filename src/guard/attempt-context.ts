import type { Clock } from '../clock.ts';
import type { Lease } from '../keys/lease.ts';
import type { Call } from './call.ts';
import type { CallContext, Usage } from './options.ts';

/** The callback's context. What most callbacks do not ask for is made when it is asked for. */
export class AttemptContext implements CallContext {
  readonly apiKey: string | undefined;
  readonly keyId: string | undefined;
  readonly provider: string;
  readonly model: string | undefined;
  readonly attempt: number;
  readonly #lease: Lease | undefined;
  readonly #clock: Clock;
  #controller: AbortController | undefined;
  #aborted: { readonly reason: unknown } | undefined;

  constructor(call: Call, clock: Clock) {
    const { lease } = call;
    this.apiKey = lease ? lease.key.reveal() : call.environmentKey;
    this.keyId = lease?.key.id;
    this.provider = call.provider.name;
    this.model = call.model;
    this.attempt = call.attempts;
    this.#lease = lease;
    this.#clock = clock;
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#aborted.reason);
    }
    return this.#controller.signal;
  }

  get reportUsage(): (usage: Usage) => void {
    return usage => this.#lease?.reportUsage(usage, this.#clock.now());
  }

  abort(reason: unknown): void {
    this.#aborted = { reason };
    this.#controller?.abort(reason);
  }
}
