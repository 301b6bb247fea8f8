import type { Evidence, HeaderReader, LimitHeaders } from './fault.ts';
import { after, decimal, parseDate, parseReset } from './reset.ts';

/** What an answer's headers say of one limit. Whatever they do not say is absent. */
export interface LimitReading {
  /** What is counted, or the name of the policy in the headers of the IETF draft. */
  readonly counts: string;
  readonly windowMs?: number;
  readonly limit?: number;
  readonly remaining?: number;
  readonly used?: number;
  /** When the limit is whole again, epoch ms. */
  readonly resetAt?: number;
}

/** The headers most providers use: `x-ratelimit-remaining-tokens` and the like. */
export function xRateLimit(counts: string, more: Partial<LimitHeaders> = {}): LimitHeaders {
  const part = counts === '' ? '' : `-${counts}`;
  return {
    counts: counts === '' ? 'requests' : counts,
    limit: `x-ratelimit-limit${part}`,
    remaining: `x-ratelimit-remaining${part}`,
    reset: `x-ratelimit-reset${part}`,
    ...more,
  };
}

export function anthropicRateLimit(counts: string): LimitHeaders {
  const name = `anthropic-ratelimit-${counts}`;
  return { counts, limit: `${name}-limit`, remaining: `${name}-remaining`, reset: `${name}-reset` };
}

/** What is looked at where a profile has no table of its own: a gateway may pass on anybody's headers. */
export const USUAL_LIMITS: readonly LimitHeaders[] = [
  ...['', 'requests', 'tokens', 'input-tokens', 'output-tokens', 'tokens-prompt', 'tokens-generated'].map((counts) =>
    xRateLimit(counts),
  ),
  ...['requests', 'tokens', 'input-tokens', 'output-tokens'].map(anthropicRateLimit),
  { counts: 'requests', limit: 'ratelimit-limit', remaining: 'ratelimit-remaining', reset: 'ratelimit-reset' },
];

/**
 * What the headers of an answer, a success or a failure, say of the provider's limits: those of the IETF
 * draft, whoever sends them, and those of the table. Figures below zero are garbage and left out.
 */
export function readLimits(
  { status, header }: Pick<Evidence, 'status' | 'header'>,
  now: number,
  limits: readonly LimitHeaders[] = USUAL_LIMITS,
): LimitReading[] {
  const serverNow = parseDate(header('date') ?? '') ?? now;
  const readings = readDraft(header, now);
  for (const { counts, windowMs, zeroOnlyWith429, ...names } of limits) {
    const limit = count(header, names.limit);
    const left = count(header, names.remaining);
    const remaining = left === 0 && zeroOnlyWith429 && status !== 429 ? undefined : left;
    const used = count(header, names.used);
    if (limit === undefined && remaining === undefined && used === undefined) continue;
    const resetAt = names.reset === undefined ? undefined : parseReset(header(names.reset) ?? '', now, serverNow);
    readings.push({
      counts,
      ...(windowMs !== undefined && { windowMs }),
      ...(limit !== undefined && { limit }),
      ...(remaining !== undefined && { remaining }),
      ...(used !== undefined && { used }),
      ...(resetAt !== undefined && { resetAt }),
    });
  }
  return readings;
}

function count(header: HeaderReader, name: string | undefined): number | undefined {
  if (name === undefined) return undefined;
  const figure = decimal(header(name));
  return figure >= 0 ? figure : undefined;
}

/** `RateLimit: "default";r=0;t=30` and `RateLimit-Policy: "default";q=100;w=60`; times are seconds from now. */
function readDraft(header: HeaderReader, now: number): LimitReading[] {
  const policies = new Map(readItems(header('ratelimit-policy')));
  return readItems(header('ratelimit')).flatMap(([counts, state]) => {
    const remaining = whole(state.get('r'));
    if (remaining === undefined) return [];
    const policy = policies.get(counts);
    const limit = whole(policy?.get('q'));
    const windowS = whole(policy?.get('w'));
    const resetAt = after(whole(state.get('t'), 1000) ?? Number.NaN, now);
    return {
      counts,
      ...(windowS !== undefined && windowS > 0 && { windowMs: windowS * 1000 }),
      ...(limit !== undefined && { limit }),
      remaining,
      ...(resetAt !== undefined && { resetAt }),
    };
  });
}

function readItems(value = ''): (readonly [name: string, parameters: ReadonlyMap<string, string>])[] {
  return value.split(',').map((item) => {
    const [name = '', ...parameters] = item.split(';').map((part) => part.trim());
    return [name.replaceAll('"', ''), new Map(parameters.map(parameter))];
  });
}

function parameter(text: string): readonly [name: string, value: string] {
  const [name = '', value = ''] = text.split('=', 2);
  return [name, value];
}

function whole(text = '', factor = 1): number | undefined {
  const figure = /^\d+$/.test(text) ? Number(text) * factor : Infinity;
  return figure === Infinity ? undefined : figure;
}
