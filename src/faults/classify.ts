import type { Evidence, Fault, FaultProfile, FaultRule, LimitHeaders } from './fault.ts';
import { callerAborted, generic } from './providers/generic.ts';
import { amazonErrorType, readBody } from './read-body.ts';
import type { ErrorBody } from './read-body.ts';
import { retryAtOf } from './retry-at.ts';
import { safely } from './safe-read.ts';
import { fitsWildcard } from './wildcard.ts';

export interface ClassifyOptions {
  readonly profile: FaultProfile;
  /** Epoch ms. */
  readonly now: number;
  /** The call's model, where it named one. */
  readonly model?: string | undefined;
}

/**
 * Whose fault a failed attempt is, by the first rule that fits: the caller's own abort, then the
 * profile's rules, then the generic ones. Never throws: a rule whose `test` or `until` does is passed over.
 */
export function classify(evidence: Evidence, options: ClassifyOptions): Fault {
  if (evidence.aborted) return fault(generic, callerAborted, evidence, options);
  const { profile } = options;
  const body = readError(evidence);
  for (const candidate of profile === generic ? [generic] : [profile, generic]) {
    const rule = candidate.rules.find((each) => safely(() => fits(each, evidence, body)));
    if (rule) return fault(candidate, rule, evidence, options);
  }
  return { kind: 'error', scope: 'request', action: 'fail', certainty: 'guess', rule: 'generic/error' };
}

function readError({ body, header }: Evidence): ErrorBody {
  const read = readBody(body);
  const type = amazonErrorType(header);
  return type === undefined ? read : { ...read, codes: [...read.codes, type] };
}

function fits({ match }: FaultRule, evidence: Evidence, body: ErrorBody): boolean {
  const { status, code, message, test } = match;
  return (
    (status === undefined || (evidence.status !== undefined && listed(status).includes(evidence.status))) &&
    (code === undefined || body.codes.some((each) => named(code, each))) &&
    // `search` keeps no state between calls, unlike `test` on an expression with the g flag.
    (message === undefined || words(evidence, body).search(message) >= 0) &&
    (test === undefined || test(evidence))
  );
}

function named(wanted: string | readonly string[], code: string): boolean {
  return typeof wanted === 'string' ? fitsWildcard(wanted, code) : wanted.some((each) => fitsWildcard(each, code));
}

function listed(status: number | readonly number[]): readonly number[] {
  return typeof status === 'number' ? [status] : status;
}

/** The provider's message. A body that was understood has no other words than its own: the rest is ids. */
function words(evidence: Evidence, body: ErrorBody): string {
  return body.message ?? (evidence.body === undefined ? evidence.text : '');
}

function fault(
  profile: FaultProfile,
  rule: FaultRule,
  evidence: Evidence,
  { profile: { limits }, now, model }: ClassifyOptions,
): Fault {
  const until = untilOf(rule, evidence, now, limits);
  return {
    kind: rule.kind ?? rule.name,
    scope: rule.scope,
    action: rule.action,
    certainty: rule.certainty ?? (rule.match.code === undefined ? 'guess' : 'likely'),
    ...(until !== undefined && { until }),
    ...(rule.coolMs !== undefined && { coolMs: rule.coolMs }),
    ...(evidence.status !== undefined && { status: evidence.status }),
    ...(model !== undefined && rule.scope.endsWith('+model') && { model }),
    rule: `${profile.name}/${rule.name}`,
  };
}

function untilOf(
  rule: FaultRule,
  evidence: Evidence,
  now: number,
  limits: readonly LimitHeaders[] | undefined,
): number | undefined {
  const known = safely(() => rule.until?.(evidence, now));
  if (known !== undefined && Number.isFinite(known) && known >= now) return known;
  return rule.action === 'cool' || rule.action === 'breaker' ? retryAtOf(evidence, now, limits) : undefined;
}
