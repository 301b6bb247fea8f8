import { DAY_MS, MINUTE_MS } from './durations.ts';
import type { LimitReading } from './limits.ts';
import { quotaViolations } from './read-body.ts';

/**
 * The limits a refusal of Google names: `quotaMetric` says what is counted, `quotaId` over which time, `quotaValue` how
 * much there is. https://ai.google.dev/gemini-api/docs/rate-limits
 */
export function quotaLimitsOf(body: unknown): LimitReading[] {
  return quotaViolations(body).flatMap(({ quotaId, quotaMetric, quotaValue }) => {
    if (typeof quotaId !== 'string') return [];
    const windowMs = quotaId.includes('PerDay') ? DAY_MS : quotaId.includes('PerMinute') ? MINUTE_MS : undefined;
    const limit = typeof quotaValue === 'string' && /^\d{1,15}$/.test(quotaValue) ? Number(quotaValue) : 0;
    if (windowMs === undefined || limit === 0) return [];
    const unit = /token/i.test(typeof quotaMetric === 'string' ? quotaMetric : quotaId) ? 'tokens' : 'requests';
    return { counts: windowMs === DAY_MS ? `${unit} per day` : unit, windowMs, limit };
  });
}
