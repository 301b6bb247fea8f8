import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import { SlidingWindow } from '../keys/sliding-window.ts';
import { WaitLine } from '../keys/wait-line.ts';
import type { ExceededRule } from './errors.ts';

/** The rules that are on. */
export type Rules = readonly ExceededRule[];

/** A rule that has no room now. */
export interface Exceeded {
  readonly rule: ExceededRule;
  /** Epoch ms. */
  readonly retryAt: number;
}

/** One session's windows, one for each rule, in the order of the rules. */
class Session {
  windows: SlidingWindow[];
  line: WaitLine | undefined;

  constructor(rules: Rules) {
    this.windows = rules.map(windowFor);
  }
}

/** Inbound limits, counted per session over sliding windows. Asking consumes nothing. */
export class SessionLimits {
  totalTracked = 0;
  private readonly clock: Clock;
  /** Made for the first session: a cache of that size allocates at once. */
  private sessions: LRUCache<string, Session> | undefined;
  private rules: Rules;
  private maxSessions: number;
  private lastId: string | undefined;
  private last: Session | undefined;

  constructor(rules: Rules, maxSessions: number, clock: Clock) {
    this.rules = rules;
    this.clock = clock;
    this.maxSessions = maxSessions;
  }

  /** What was counted under a rule of the same name and window goes on under its new limit. */
  configure(rules: Rules, maxSessions: number): void {
    const before = this.rules;
    this.rules = rules;
    if (this.sessions && maxSessions !== this.maxSessions) {
      const kept = new LRUCache<string, Session>({ max: maxSessions });
      for (const [id, session] of [...this.sessions.entries()].reverse()) kept.set(id, session);
      this.sessions = kept;
    }
    this.maxSessions = maxSessions;
    this.last = this.lastId = undefined;
    for (const session of this.all()) {
      session.windows = rules.map(rule => {
        const known = before.findIndex(({ name, windowMs }) => name === rule.name && windowMs === rule.windowMs);
        const window = session.windows[known] ?? windowFor(rule);
        window.limit = rule.requests;
        return window;
      });
      session.line?.announce();
    }
  }

  /** The rule that would refuse a call of this session now, the one that lasts longest. */
  exceeded(id: string, now: number): Exceeded | undefined {
    const session = this.sessions?.peek(id);
    return session && this.worst(session, now);
  }

  /** Counts one call, unless a rule refuses it. */
  pass(id: string, now: number): Exceeded | undefined {
    const session = this.sessionOf(id);
    const exceeded = this.worst(session, now);
    if (exceeded) return exceeded;
    for (const window of session.windows) window.add(1, now);
    this.totalTracked++;
    return undefined;
  }

  /** Gives back what {@link pass} counted at `at`, for a call that never reached its provider. */
  refund(id: string, at: number): void {
    const session = this.sessions?.peek(id);
    if (!session) return;
    const now = this.clock.now();
    for (const window of session.windows) window.adjust(at, -1, now);
    // The records may have been cleared meanwhile.
    if (this.totalTracked > 0) this.totalTracked--;
    session.line?.announce();
  }

  /** True where calls of this session wait for room. */
  isAwaited(id: string): boolean {
    return (this.sessionOf(id).line?.size ?? 0) > 0;
  }

  /** Where calls of this session wait for room. */
  lineOf(id: string): WaitLine {
    return (this.sessionOf(id).line ??= new WaitLine(this.clock));
  }

  /** The highest use of the rule in any one session. */
  highestUse(name: string, now: number): number {
    const index = this.rules.findIndex(rule => rule.name === name);
    let highest = 0;
    for (const session of this.all()) highest = Math.max(highest, session.windows[index]?.used(now) ?? 0);
    return highest;
  }

  clear(): void {
    for (const session of this.all()) {
      session.windows = this.rules.map(windowFor);
      session.line?.announce();
    }
    this.totalTracked = 0;
  }

  private worst({ windows }: Session, now: number): Exceeded | undefined {
    let worst: Exceeded | undefined;
    for (let i = 0; i < windows.length; i++) {
      const retryAt = windows[i]!.availableAt(1, now);
      if (retryAt > now && (!worst || retryAt > worst.retryAt)) worst = { rule: this.rules[i]!, retryAt };
    }
    return worst;
  }

  private all(): Iterable<Session> {
    return this.sessions?.values() ?? [];
  }

  private sessionOf(id: string): Session {
    // Calls of one session tend to come together; the cache is asked when it changes.
    if (this.last && id === this.lastId) return this.last;
    this.sessions ??= new LRUCache({ max: this.maxSessions });
    let session = this.sessions.get(id);
    if (!session) {
      session = new Session(this.rules);
      this.sessions.set(id, session);
    }
    this.lastId = id;
    this.last = session;
    return session;
  }
}

function windowFor({ requests, windowMs }: ExceededRule): SlidingWindow {
  return new SlidingWindow(requests, windowMs);
}
