import { LRUCache } from 'lru-cache';
import { SlidingWindow } from '../keys/sliding-window.ts';
import { WaitLine } from '../keys/wait-line.ts';
import type { Clock } from '../clock.ts';
import type { ExceededRule } from './errors.ts';

/** Rules by name, tightest window first. */
export type Rules = readonly ExceededRule[];

/** One session's windows. */
interface Session {
  readonly windows: Map<string, SlidingWindow>;
  line: WaitLine | undefined;
}

/** A rule that has no room now. */
export interface Exceeded {
  readonly rule: ExceededRule;
  /** Epoch ms. */
  readonly retryAt: number;
}

/** Inbound limits, counted per session over sliding windows. Asking consumes nothing. */
export class SessionLimits {
  totalTracked = 0;
  private readonly clock: Clock;
  /** Made for the first session: a cache of that size allocates at once. */
  private sessions: LRUCache<string, Session> | undefined;
  private rules: Rules;
  private maxSessions: number;

  constructor(rules: Rules, maxSessions: number, clock: Clock) {
    this.rules = rules;
    this.clock = clock;
    this.maxSessions = maxSessions;
  }

  get isEmpty(): boolean {
    return this.rules.length === 0;
  }

  /** What was counted under a rule of the same name and window goes on under its new limit. */
  configure(rules: Rules, maxSessions: number): void {
    this.rules = rules;
    if (this.sessions && maxSessions !== this.maxSessions) {
      const kept = new LRUCache<string, Session>({ max: maxSessions });
      for (const [id, session] of [...this.sessions.entries()].reverse()) kept.set(id, session);
      this.sessions = kept;
    }
    this.maxSessions = maxSessions;
    for (const session of this.all()) {
      for (const [name, window] of session.windows) {
        const rule = rules.find(candidate => candidate.name === name);
        if (rule?.windowMs === window.windowMs) window.limit = rule.requests;
        else session.windows.delete(name);
      }
      session.line?.announce();
    }
  }

  /** The rule that refuses a call of this session now, the one that lasts longest. */
  exceeded(sessionId: string, now: number): Exceeded | undefined {
    const session = this.sessions?.get(sessionId);
    if (!session) return undefined;
    let worst: Exceeded | undefined;
    for (const rule of this.rules) {
      const window = session.windows.get(rule.name);
      if (!window) continue;
      const retryAt = window.availableAt(1, now);
      if (retryAt > now && (!worst || retryAt > worst.retryAt)) worst = { rule, retryAt };
    }
    return worst;
  }

  /** Counts one call. */
  consume(sessionId: string, now: number): void {
    const session = this.sessionOf(sessionId);
    for (const rule of this.rules) {
      let window = session.windows.get(rule.name);
      if (!window) {
        window = new SlidingWindow(rule.requests, rule.windowMs);
        session.windows.set(rule.name, window);
      }
      window.add(1, now);
    }
    this.totalTracked++;
  }

  /** Gives back what {@link consume} took at `at`, for a call that never reached its provider. */
  refund(sessionId: string, at: number): void {
    const session = this.sessions?.peek(sessionId);
    if (!session) return;
    const now = this.clock.now();
    for (const window of session.windows.values()) window.adjust(at, -1, now);
    this.totalTracked--;
    session.line?.announce();
  }

  /** Where calls of this session wait for room. */
  lineOf(sessionId: string): WaitLine {
    return (this.sessionOf(sessionId).line ??= new WaitLine(this.clock));
  }

  /** The highest use of the rule in any one session. */
  highestUse(rule: string, now: number): number {
    let highest = 0;
    for (const session of this.all()) {
      highest = Math.max(highest, session.windows.get(rule)?.used(now) ?? 0);
    }
    return highest;
  }

  clear(): void {
    for (const session of this.all()) {
      session.windows.clear();
      session.line?.announce();
    }
    this.totalTracked = 0;
  }

  private all(): Iterable<Session> {
    return this.sessions?.values() ?? [];
  }

  private sessionOf(id: string): Session {
    this.sessions ??= new LRUCache({ max: this.maxSessions });
    let session = this.sessions.get(id);
    if (!session) {
      session = { windows: new Map(), line: undefined };
      this.sessions.set(id, session);
    }
    return session;
  }
}
