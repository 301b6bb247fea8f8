import type { Clock } from '../clock.ts';
import { classify } from '../faults/classify.ts';
import { isFailureValue, readEvidence, type Outcome } from '../faults/evidence.ts';
import { profileFor } from '../faults/profiles.ts';
import { concealed, INSPECT } from './concealed.ts';
import type { PoolKey } from './key.ts';
import type { Pool } from './pool.ts';

/** What a validation call is given. */
export interface ValidationContext {
  readonly apiKey: string;
  readonly keyId: string;
  /** The pool's pattern. */
  readonly provider: string;
  /** Aborted when the call has taken too long, or the guard is closed. */
  readonly signal: AbortSignal;
}

/** `true` or nothing: good. `false`, or a credential fault thrown or returned: bad. Any other error says nothing. */
export type Validate = (context: ValidationContext) => unknown;

/** A verdict on a key: `undefined` where the call failed in a way that says nothing about it. */
export type Verdict = boolean | undefined;

/** Runs the pool's validation calls: one per key at a time, each bounded in time. */
export class Validation {
  private readonly pool: Pool;
  private readonly clock: Clock;
  private readonly running = new Map<PoolKey, { readonly verdict: Promise<Verdict>; readonly stop: () => void }>();

  constructor(pool: Pool, clock: Clock) {
    this.pool = pool;
    this.clock = clock;
  }

  /** Validates in the background; the key's gate stays shut until the verdict is in. */
  start(key: PoolKey): void {
    key.gateOf(undefined).probeUntil = this.clock.now() + this.pool.settings.validateTimeoutMs;
    void this.run(key);
  }

  /** Validates and lets the verdict take effect. Without a `validate` there is none. */
  async run(key: PoolKey): Promise<Verdict> {
    if (!this.pool.settings.validate) return undefined;
    const verdict = await this.ask(key);
    this.settle(key, verdict);
    return verdict;
  }

  /** The verdict alone. */
  ask(key: PoolKey): Promise<Verdict> {
    const running = this.running.get(key);
    if (running) return running.verdict;
    const controller = new AbortController();
    const verdict = this.call(key, controller).finally(() => this.running.delete(key));
    this.running.set(key, { verdict, stop: () => controller.abort() });
    return verdict;
  }

  settle(key: PoolKey, verdict: Verdict): void {
    // The key may have been taken out meanwhile.
    if (this.pool.get(key.id) !== key) return;
    this.pool.settlement.validated(key, verdict, this.clock.now());
    this.pool.line.announce();
  }

  close(): void {
    for (const { stop } of this.running.values()) stop();
  }

  private async call(key: PoolKey, controller: AbortController): Promise<Verdict> {
    const { validate, validateTimeoutMs, profile, pattern } = this.pool.settings;
    if (!validate) return undefined;
    const { signal } = controller;
    /** Only a refusal of the key itself says something about it. */
    const read = async (outcome: Outcome): Promise<Verdict> => {
      const evidence = await readEvidence(outcome, this.clock);
      const { scope, action } = classify(evidence, { profile: profile ?? profileFor(pattern), now: this.clock.now() });
      return scope.startsWith('key') && (action === 'disable' || action === 'probation') ? false : undefined;
    };
    const timer = this.clock.setTimeout(() => controller.abort(), validateTimeoutMs, true);
    const stopped = new Promise<undefined>(resolve => {
      signal.addEventListener('abort', () => resolve(undefined), { once: true });
    });
    try {
      const answer = Promise.resolve(validate(new KeyInQuestion(key, pattern, signal)));
      const verdict = answer.then(value => (isFailureValue(value) ? read({ value }) : value !== false));
      return await Promise.race([verdict, stopped]);
    } catch (error) {
      return await read({ error });
    } finally {
      this.clock.clearTimeout(timer);
    }
  }
}

/** Printed, it shows a mask in the key's place. */
class KeyInQuestion implements ValidationContext {
  readonly apiKey: string;
  readonly keyId: string;
  readonly provider: string;
  readonly signal: AbortSignal;

  constructor(key: PoolKey, pattern: string, signal: AbortSignal) {
    this.apiKey = key.reveal();
    this.keyId = key.id;
    this.provider = pattern;
    this.signal = signal;
  }

  toJSON(): object {
    return concealed(this);
  }

  [INSPECT](): object {
    return concealed(this);
  }
}
