import type { Situation } from './loopback-server.ts';
import type { Dimension } from './quota.ts';

/** The headers of one limit; a reset is left out where the provider does not say it. */
export interface RateLimitHeaders {
  readonly dimension: Dimension;
  readonly limit: string;
  readonly remaining: string;
  readonly reset?: string;
}

/** `x-ratelimit-limit-requests` and its like, for what the provider calls `name`. */
export function xRateLimit(dimension: Dimension, name: string): RateLimitHeaders {
  return {
    dimension,
    limit: `x-ratelimit-limit-${name}`,
    remaining: `x-ratelimit-remaining-${name}`,
    reset: `x-ratelimit-reset-${name}`,
  };
}

/**
 * What is left of the limits that the request's group has.
 *
 * @param print writes the time until a limit is whole again
 */
export function rateLimitHeaders(
  { meter, now }: Situation,
  headers: readonly RateLimitHeaders[],
  print: (resetInMs: number, now: number) => string,
): Record<string, string> {
  const answer: Record<string, string> = {};
  for (const { dimension, limit, remaining, reset } of headers) {
    const window = meter?.window(dimension);
    if (!window) continue;
    answer[limit] = String(window.limit);
    answer[remaining] = String(Math.max(0, Math.floor(window.limit - window.used(now))));
    if (reset !== undefined) answer[reset] = print(window.resetInMs(now), now);
  }
  return answer;
}
