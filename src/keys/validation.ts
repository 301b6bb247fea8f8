import type { Clock } from '../clock.ts';
import { classify } from '../faults/classify.ts';
import { readEvidence } from '../faults/evidence.ts';
import { profileFor } from '../faults/profiles.ts';
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

/** `true` or nothing: good. `false` or a credential fault thrown: bad. Any other error says nothing. */
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
    key.gate.probeUntil = this.clock.now() + this.pool.settings.validateTimeoutMs;
    void this.run(key);
  }

  /** Validates and lets the verdict take effect. */
  async run(key: PoolKey): Promise<Verdict> {
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
    const timer = this.clock.setTimeout(() => controller.abort(), validateTimeoutMs, true);
    const stopped = new Promise<undefined>(resolve => {
      signal.addEventListener('abort', () => resolve(undefined), { once: true });
    });
    try {
      const answer = Promise.resolve(validate({ apiKey: key.reveal(), keyId: key.id, provider: pattern, signal }));
      return await Promise.race([answer.then(valid => valid !== false), stopped]);
    } catch (error) {
      const evidence = await readEvidence({ error }, this.clock);
      const { scope, action } = classify(evidence, { profile: profile ?? profileFor(pattern), now: this.clock.now() });
      const isRefused = scope.startsWith('key') && (action === 'disable' || action === 'probation');
      return isRefused ? false : undefined;
    } finally {
      this.clock.clearTimeout(timer);
    }
  }
}
