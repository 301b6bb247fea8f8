/** Why a gate is not simply open. */
export type GateState = 'ready' | 'cooling' | 'suspect' | 'disabled';

/**
 * Decides whether a key (or one model of a key, a group, one model of a group) may be used.
 * Everything is computed from timestamps when looked at, so a gate needs no timer.
 *
 * Once its time has passed a gate is half-open: one attempt goes through as a probe, the others go
 * elsewhere until the probe has settled.
 */
export class Gate {
  state: GateState = 'ready';
  /** Not before this time, epoch ms. */
  until = 0;
  /** When the present state began. What was leased earlier says nothing about it. */
  since = 0;
  /** How often in a row the gate was closed; the exponent of the next cool-down. */
  strikes = 0;
  reason = '';
  /** A suspect nobody has vouched for stands behind all other keys. */
  lastInLine = false;
  /** A probe is out and has until then to settle; 0 when none is. */
  probeUntil = 0;
  /** Hears of every change, where other processes are to hear of it. */
  onChange: (() => void) | undefined = undefined;

  /** The earliest time an attempt may go through; `now` where it may at once. */
  availableAt(now: number): number {
    if (this.state === 'ready') return now;
    return Math.max(now, this.until, this.probeUntil);
  }

  /** True while only the probe under way stands between the gate and its next attempt. */
  isProbing(now: number): boolean {
    return this.state !== 'ready' && this.until <= now && this.probeUntil > now;
  }

  /** A longer deadline extends; a shorter one changes nothing. Returns true where the state changed. */
  cool(until: number, reason: string, now: number): boolean {
    if (this.state === 'disabled') return false;
    if (this.state === 'cooling' && until <= this.until) return false;
    this.close('cooling', Math.max(until, this.until), reason, now);
    return true;
  }

  disable(until: number, reason: string, now: number): void {
    this.close('disabled', Math.max(until, this.until), reason, now);
  }

  suspect(until: number, reason: string, now: number): void {
    if (this.state === 'disabled') return;
    this.close('suspect', Math.max(until, this.until), reason, now);
  }

  /** The suspicion was right. It has counted as a strike already. */
  convict(state: 'cooling' | 'disabled', until: number, reason: string, now: number): void {
    this.close(state, Math.max(until, this.until), reason, now, false);
  }

  /** Attempts that fail together while the gate is closed already are one strike, not many. */
  private close(state: GateState, until: number, reason: string, now: number, isStrike = now >= this.until): void {
    if (isStrike) this.strikes++;
    this.state = state;
    this.until = until;
    this.since = now;
    this.reason = reason;
    this.lastInLine = state === 'suspect';
    this.probeUntil = 0;
    this.onChange?.();
  }

  /** A probe, or a call leased since the gate opened, was answered. */
  recover(): void {
    this.state = 'ready';
    this.until = 0;
    this.probeUntil = 0;
    this.lastInLine = false;
    this.reason = '';
    if (this.strikes > 0) this.strikes--;
    this.onChange?.();
  }

  /** The clock was set back by so much: what lies ahead comes as soon as it would have come. */
  setBack(byMs: number): void {
    this.until -= byMs;
    this.since -= byMs;
    if (this.probeUntil > 0) this.probeUntil -= byMs;
  }

  /** A person vouches for it. */
  reset(): void {
    this.strikes = 0;
    this.recover();
  }

  /** What it is now, to be put back by {@link restore} when an accusation turns out to be nobody's fault. */
  snapshot(): GateSnapshot {
    const { state, until, since, strikes, reason, lastInLine } = this;
    return { state, until, since, strikes, reason, lastInLine };
  }

  restore(snapshot: GateSnapshot): void {
    Object.assign(this, snapshot);
    this.probeUntil = 0;
    this.onChange?.();
  }

  /** What another process has found out, and told already. */
  adopt({ state, until, since, strikes, reason, lastInLine, probeUntil }: GateSnapshot & Pick<Gate, 'probeUntil'>): void {
    Object.assign(this, { state, until, since, strikes, reason, lastInLine, probeUntil });
  }
}

export type GateSnapshot = Pick<Gate, 'state' | 'until' | 'since' | 'strikes' | 'reason' | 'lastInLine'>;
