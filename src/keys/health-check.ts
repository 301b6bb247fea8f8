import type { Clock, TimerHandle } from '../clock.ts';
import type { PoolKey } from './key.ts';
import type { Pool } from './pool.ts';
import type { Verdict } from './validation.ts';

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
  private isRunning = false;
  private closed = false;

  constructor(pool: Pool, clock: Clock) {
    this.pool = pool;
    this.clock = clock;
  }

  /** Also where only `validate` has come or gone. */
  configure(settings: HealthCheckSettings | undefined): void {
    const isSame = settings?.enabled === this.settings?.enabled && settings?.intervalMs === this.settings?.intervalMs;
    this.settings = settings;
    if (!isSame || this.timer === undefined) this.schedule();
  }

  close(): void {
    this.closed = true;
    this.clock.clearTimeout(this.timer);
    this.timer = undefined;
  }

  private schedule(): void {
    this.clock.clearTimeout(this.timer);
    this.timer = undefined;
    if (this.closed || this.isRunning || !this.settings?.enabled || !this.pool.settings.validate) return;
    this.timer = this.clock.setTimeout(() => void this.run(), this.settings.intervalMs, true);
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    await this.round();
    this.isRunning = false;
    this.schedule();
  }

  /**
   * The verdicts of a round are weighed together: where none of several keys is good, the fault is not theirs
   * but the network's, the address's or the provider's, and nobody is disabled.
   */
  private async round(): Promise<void> {
    const verdicts: [PoolKey, Verdict][] = [];
    for (const key of this.pool.keys()) {
      if (key.held === undefined && !key.draining) verdicts.push([key, await this.pool.validation.ask(key)]);
      if (this.closed) return;
    }
    const isWeighed = verdicts.length === 1 || verdicts.some(([, verdict]) => verdict === true);
    for (const [key, verdict] of verdicts) {
      if (isWeighed || verdict !== false) this.pool.validation.settle(key, verdict);
    }
  }
}
