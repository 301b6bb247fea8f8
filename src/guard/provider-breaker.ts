import { EventEmitter } from 'node:events';
import CircuitBreaker from 'opossum';
import type { Clock } from '../clock.ts';
import { DAY_MS } from '../faults/durations.ts';
import { WaitLine } from '../keys/wait-line.ts';

export type BreakerState = 'CLOSED' | 'OPEN' | 'HALF_OPEN';

/** What a breaker has counted, as plain data. Times are epoch ms, 0 where there are none. */
export interface BreakerData {
  readonly failures: number;
  readonly openUntil: number;
  readonly bannedUntil: number;
}

/** What a call's final outcome says of its provider. `none`: nothing, for instance an abort. */
export type Vote = 'success' | 'failure' | 'none';

export interface BreakerSettings {
  /** Failed calls in a row that open the breaker. */
  readonly failureThreshold: number;
  readonly recoveryTimeMs: number;
  readonly onOpen: 'reject' | 'wait';
  readonly maxWaitMs: number;
}

type Probe = () => Promise<Vote>;
type ProbeCircuit = CircuitBreaker<[Probe], Vote>;

class ProbeFailed extends Error {}

/** No ban of a provider lasts longer. */
const LONGEST_BAN_MS = 31 * DAY_MS;

/** A probe that has not ended by then is taken for lost: another one may go. */
const LEAST_PROBE_MS = 60_000;

/**
 * Where calls wait for an open breaker, none is lost by it: a provider that has answered nobody for so long, of so many
 * calls, is left alone however many retries those have left, and asked again soon.
 * See docs/decisions/0011-what-the-simulator-taught.md.
 */
const SILENT_MS = 1000;
const LEAST_UNANSWERED = 5;
const LEAST_RECOVERY_MS = 5000;
/** The longer it has been silent, the longer it is left alone: it is known to be back within a twentieth more of that time. */
const RECOVERY_SHARE = 0.05;

/** A clock that goes back further than this was set. */
const JITTER_MS = 5000;

/** opossum rotates statistics on a timer of its own unless it is given an emitter; ours never fires. */
const noRotation = new EventEmitter().setMaxListeners(0);

/**
 * One provider's breaker. While it is closed it counts; opossum takes over once it has tripped, to let a
 * single probe through. Recovery is a matter of timestamps, so an open breaker needs no timer.
 *
 * A circuit serves one half-open period and is thrown away: opossum's statistics outlive a close, and a
 * call that began before the breaker opened must not close it.
 */
export class ProviderBreaker {
  settings: BreakerSettings;
  private readonly clock: Clock;
  private readonly onChange: (state: BreakerState) => void;
  private failures = 0;
  /** 0 while closed. */
  private openUntil = 0;
  /** The provider has named a time; unlike the recovery time it is not ours to shorten. */
  private bannedUntil = 0;
  /** Counts trips and resets: a vote of an earlier epoch is out of date. */
  private epoch = 0;
  private circuit: ProbeCircuit | undefined;
  private probeUntil = 0;
  /** Calls that have failed since the provider last answered, and when the first of them did. */
  private failing = 0;
  private silentSince = 0;
  /** Calls counted in an earlier silence are counted anew. */
  private silence = 1;
  /** Since when the provider has answered nobody, where it was opened early for that. */
  private downSince: number | undefined = undefined;
  /** Calls that wait for it to close. */
  private waiting: WaitLine | undefined;
  /** What the listener was told last: a probe after an unclear one is no new state. */
  private told: BreakerState = 'CLOSED';

  constructor(settings: BreakerSettings, clock: Clock, onChange: (state: BreakerState) => void) {
    this.settings = settings;
    this.clock = clock;
    this.onChange = onChange;
  }

  /** A shorter recovery time ends an open breaker's earlier. */
  configure(settings: BreakerSettings): void {
    this.settings = settings;
    this.shorten();
    this.waiting?.announce();
  }

  get isClosed(): boolean {
    return this.openUntil === 0;
  }

  get state(): BreakerState {
    if (this.openUntil === 0) return 'CLOSED';
    return this.retryAfterMs > 0 ? 'OPEN' : 'HALF_OPEN';
  }

  /** What is left of an open breaker's time, in ms; 0 once a probe may go. */
  get retryAfterMs(): number {
    // The clock may have been set back.
    this.shorten();
    return Math.max(0, Math.max(this.openUntil, this.bannedUntil) - this.clock.now());
  }

  /** The epoch a call made now belongs to; goes back in with its vote. */
  get currentEpoch(): number {
    return this.epoch;
  }

  /** Those who wait for the provider. They are woken when its state changes, and one of them when a probe may go. */
  get line(): WaitLine {
    return (this.waiting ??= new WaitLine(this.clock, (now, due = now) => {
      // So late it would be, had nobody set the clock back.
      if (due - now > JITTER_MS) this.setBack(due - now);
    }));
  }

  get isAwaited(): boolean {
    return this.waiting !== undefined && this.waiting.size > 0;
  }

  /** A call may go: as a probe, where it is not closed. */
  get isFree(): boolean {
    return this.openUntil === 0 || (!this.isProbing && this.retryAfterMs === 0);
  }

  /** When a probe may go that is not out yet, or is taken for lost. */
  get nextProbeAt(): number {
    return this.isProbing ? this.probeUntil : this.clock.now() + this.retryAfterMs;
  }

  /** A probe is out that may still be answered. */
  get isProbing(): boolean {
    return this.circuit !== undefined && !this.circuit.pendingClose && this.clock.now() < this.probeUntil;
  }

  /**
   * An attempt has failed by the provider's fault; its call may try again.
   *
   * @param silence what this returned for the call's last failure
   */
  unanswered(silence: number, now: number): number {
    const { silence: current } = this;
    if (this.openUntil > 0) return silence;
    if (silence !== current && this.failing++ === 0) this.silentSince = now;
    if (this.failing >= LEAST_UNANSWERED && now - this.silentSince >= SILENT_MS) {
      this.downSince = this.silentSince;
      this.trip();
    }
    return current;
  }

  /** The provider has answered somebody. */
  answered(): void {
    if (this.failing === 0) return;
    this.failing = 0;
    this.silence++;
  }

  /** The vote of a call that was made while the breaker was closed. */
  vote(vote: Vote, epoch: number): void {
    if (epoch !== this.epoch || vote === 'none') return;
    if (vote === 'success') this.failures = 0;
    else if (++this.failures >= this.settings.failureThreshold) this.trip();
  }

  /** Opens at once, until the time the provider has named: to go on would make a ban of a limit. */
  ban(until: number): void {
    this.bannedUntil = Math.max(this.bannedUntil, Math.min(until, this.clock.now() + LONGEST_BAN_MS));
    this.trip();
    // The provider knows better than the settings when it answers again.
    this.openUntil = Math.min(this.openUntil, this.bannedUntil);
    this.waiting?.announce();
  }

  /** Another process has found the provider failing. */
  openUntilAtLeast(until: number): void {
    if (this.state === 'OPEN' && this.clock.now() + this.retryAfterMs >= until) return;
    this.trip();
    this.openUntil = Math.min(this.openUntil, until);
    this.waiting?.announce();
  }

  /** Runs `probe` if it is the one to go; false where the breaker is open or another probe is out. */
  async tryProbe(probe: Probe): Promise<boolean> {
    if (this.state === 'OPEN') return false;
    const now = this.clock.now();
    if (this.circuit && now >= this.probeUntil) this.discardCircuit();
    const circuit = (this.circuit ??= this.halfOpen());
    if (!circuit.pendingClose) return false;
    this.probeUntil = now + Math.max(LEAST_PROBE_MS, this.settings.recoveryTimeMs);
    const epoch = ++this.epoch;
    let vote: Vote = 'none';
    try {
      vote = await circuit.fire(probe);
    } catch (error) {
      if (!(error instanceof ProbeFailed)) throw error;
      vote = 'failure';
    }
    if (epoch !== this.epoch) {
      this.waiting?.announce();
      return true;
    }
    if (vote === 'success') this.reset();
    else if (vote === 'failure') this.trip();
    else this.discardCircuit();
    this.waiting?.announce();
    return true;
  }

  /** Closes the breaker and forgets what was counted. */
  reset(): void {
    this.epoch++;
    this.failures = 0;
    this.openUntil = 0;
    this.bannedUntil = 0;
    this.downSince = undefined;
    this.answered();
    this.discardCircuit();
    this.tell('CLOSED');
    this.waiting?.announce();
  }

  /** Undefined where it is closed, and nothing has failed of late. */
  snapshot(): BreakerData | undefined {
    const { failures, openUntil, bannedUntil } = this;
    return failures === 0 && openUntil === 0 ? undefined : { failures, openUntil, bannedUntil };
  }

  /** Takes the place of what was counted. One that was open is open for the rest of its time, or half-open. */
  restore({ failures, openUntil, bannedUntil }: BreakerData): void {
    this.epoch++;
    this.failures = failures;
    this.openUntil = openUntil;
    this.bannedUntil = Math.min(bannedUntil, this.clock.now() + LONGEST_BAN_MS);
    this.discardCircuit();
    this.tell(this.state);
    this.waiting?.announce();
  }

  private setBack(byMs: number): void {
    if (this.openUntil > 0) this.openUntil = Math.max(1, this.openUntil - byMs);
    this.bannedUntil -= byMs;
    if (this.downSince !== undefined) this.downSince -= byMs;
    this.probeUntil -= byMs;
    this.waiting?.setBack(byMs);
  }

  private shorten(): void {
    if (this.openUntil > 0) {
      this.openUntil = Math.min(this.openUntil, this.clock.now() + this.settings.recoveryTimeMs);
    }
  }

  private trip(): void {
    this.epoch++;
    this.failures = 0;
    this.openUntil = this.clock.now() + this.recoveryMs;
    this.answered();
    this.discardCircuit();
    this.tell('OPEN');
  }

  private get recoveryMs(): number {
    const { downSince, settings } = this;
    if (downSince === undefined) return settings.recoveryTimeMs;
    const silentMs = this.clock.now() - downSince;
    return Math.min(settings.recoveryTimeMs, Math.max(LEAST_RECOVERY_MS, Math.round(silentMs * RECOVERY_SHARE)));
  }

  private halfOpen(): ProbeCircuit {
    this.tell('HALF_OPEN');
    const options: CircuitBreaker.Options<[Probe]> & { state: object } = {
      timeout: false,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      rotateBucketController: noRotation,
      state: { closed: false, halfOpen: true },
    };
    return new CircuitBreaker(async (probe: Probe) => {
      const vote = await probe();
      if (vote === 'failure') throw new ProbeFailed();
      return vote;
    }, options);
  }

  private tell(state: BreakerState): void {
    if (state === this.told) return;
    this.told = state;
    this.onChange(state);
  }

  private discardCircuit(): void {
    this.circuit?.shutdown();
    this.circuit = undefined;
  }
}
