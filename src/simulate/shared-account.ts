import { MINUTE_MS } from '../faults/durations.ts';
import { Quota, type DayReset } from '../keys/quota.ts';
import type { Limits, Refilling, Shortfall } from '../state/store.ts';
import { RefillingLevel } from './refilling-level.ts';

/** What is counted of a key or a group. Each process goes by what it has heard of a limit: all of it is counted in either way. */
export class SharedAccount {
  underWay = 0;
  private limits: Limits | undefined = undefined;
  private windows: Quota | undefined = undefined;
  private requests: RefillingLevel | undefined = undefined;
  private tokens: RefillingLevel | undefined = undefined;

  limitTo(limits: Limits | undefined, dayReset: DayReset | undefined, now: number): void {
    if (this.limits === limits) return;
    this.limits = limits;
    if (!limits) {
      this.windows = undefined;
      return;
    }
    const { rpm, rpmRefills, tpm, tpmRefills, rpd, tpd, concurrency } = limits;
    const windows = { rpm: rpmRefills ? Infinity : rpm, tpm: tpmRefills ? Infinity : tpm, rpd, tpd, concurrency };
    this.windows = Quota.of(windows, dayReset, this.windows);
    const used = this.windows?.use(now);
    if (rpmRefills && rpm !== undefined) this.requests = levelOf(rpm, rpmRefills, this.requests, used?.rpm?.used, now);
    if (tpmRefills && tpm !== undefined) this.tokens = levelOf(tpm, tpmRefills, this.tokens, used?.tpm?.used, now);
  }

  /** Why there is no room for a request of so many tokens, and when there is; undefined where there is. */
  shortage(tokens: number, now: number): { readonly why: Shortfall; readonly at: number } | undefined {
    const { limits, windows } = this;
    if (!limits || !windows) return undefined;
    if (this.underWay >= windows.concurrency) return { why: 'busy', at: Infinity };
    const ofRequests = limits.rpmRefills && this.requests ? this.requests.availableAt(1, now) : now;
    const ofTokens = limits.tpmRefills && this.tokens ? this.tokens.availableAt(Math.max(1, tokens), now) : now;
    const at = Math.max(windows.availableAt(Math.max(1, tokens), now), ofRequests, ofTokens);
    if (at <= now) return undefined;
    return { why: ofRequests > now || windows.availableAt(1, now) > now ? 'requests' : 'tokens', at };
  }

  reserve(tokens: number, now: number, model: string | undefined): void {
    this.windows?.reserve(tokens, now, model);
    this.requests?.add(1, now);
    if (tokens > 0) this.tokens?.add(tokens, now);
    this.underWay++;
  }

  correct(requests: number, tokens: number, reservedAt: number, now: number): void {
    if (requests < 0) {
      this.windows?.refund(0, reservedAt, now);
      this.requests?.giveBack(1, reservedAt, now);
    }
    this.windows?.settleTokens(reservedAt, 0, tokens, now);
    if (tokens > 0) this.tokens?.add(tokens, now);
    else this.tokens?.giveBack(-tokens, reservedAt, now);
  }
}

/** What was a window until now comes to as much, or more; what was used before anybody counted, a process may have heard of. */
function levelOf(
  limit: number,
  { wholeAt }: Refilling,
  known: RefillingLevel | undefined,
  used = 0,
  now: number,
): RefillingLevel {
  const level = known ?? new RefillingLevel(limit, Math.max(used, ((wholeAt - now) / MINUTE_MS) * limit), now);
  level.limit = limit;
  return level;
}
