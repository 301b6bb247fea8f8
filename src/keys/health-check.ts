import type { Clock, TimerHandle } from '../clock.ts';
import type { PoolKey } from './key.ts';
import type { Pool } from './pool.ts';

export interface HealthCheckSettings {
  readonly enabled: boolean;
  readonly intervalMs: number;
}

/** Validates every key of a pool from time to time, one after the other, in the background. */
export class HealthCheck {
  private readonly pool: Pool;
  private readonly clock: Clock;
  private settings: HealthCheckSettings | undefined;
  private timer: TimerHandle;
  private closed = false;

  constructor(pool: Pool, clock: Clock) {
    this.pool = pool;
    this.clock = clock;
  }

  configure(settings: HealthCheckSettings | undefined): void {
    if (settings?.enabled === this.settings?.enabled && settings?.intervalMs === this.settings?.intervalMs) return;
    this.settings = settings;
    this.clock.clearTimeout(this.timer);
    this.timer = undefined;
    this.schedule();
  }

  close(): void {
    this.closed = true;
    this.clock.clearTimeout(this.timer);
  }

  private schedule(): void {
    if (this.closed || !this.settings?.enabled || !this.pool.settings.validate) return;
    this.timer = this.clock.setTimeout(
      () => {
        void this.round().finally(() => this.schedule());
      },
      this.settings.intervalMs,
      true,
    );
  }

  /**
   * The verdicts of a round are weighed together: when every key of several is refused, the fault is not
   * theirs but the network's, the address's or the provider's, and nobody is disabled.
   */
  private async round(): Promise<void> {
    const verdicts: [PoolKey, boolean | undefined][] = [];
    for (const key of this.pool.keys()) {
      if (this.closed) return;
      if (key.held === undefined && !key.draining) verdicts.push([key, await this.pool.validation.ask(key)]);
    }
    const allRefused = verdicts.length > 1 && verdicts.every(([, valid]) => valid === false);
    if (allRefused) return;
    for (const [key, valid] of verdicts) this.pool.validation.settle(key, valid);
  }
}
