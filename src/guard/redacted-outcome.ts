import { redactedError } from '../keys/redacted-error.ts';
import { Redactor } from '../keys/redaction.ts';
import type { Call } from './call.ts';

/** What a call is rejected with, as its caller may see it: some providers, and some clients, repeat the key. */
export function redactedOutcome({ environmentKey, lease, tried }: Call, error: unknown): unknown {
  const secrets = new Set([...(tried ?? []), ...(lease ? [lease.key] : [])].map(key => key.reveal()));
  if (environmentKey !== undefined) secrets.add(environmentKey);
  return secrets.size === 0 ? error : redactedError(error, new Redactor(secrets));
}
