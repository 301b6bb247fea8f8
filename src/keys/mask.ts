import { createHash } from 'node:crypto';

/** The public beginnings of well-known key formats; where one begins another, the longer comes first. */
const PUBLIC_PREFIXES = [
  'sk-proj-',
  'sk-svcacct-',
  'sk-admin-',
  'sk-ant-',
  'sk-or-v1-',
  'sk-',
  'AIza',
  'AQ.',
  'gsk_',
  'xai-',
  'hf_',
  'pplx-',
  'AKIA',
  'ASIA',
  'ABSK',
] as const;

const ELLIPSIS = '…';

/**
 * A key as it may be shown: `sk-proj-…`, or `…` where the format has no public prefix. Neither the
 * last characters nor the length appear: both narrow down which key it is.
 */
export function maskSecret(secret: string): string {
  const prefix = PUBLIC_PREFIXES.find((candidate) => secret.startsWith(candidate));
  // A secret that is nothing but a prefix would be shown whole.
  return prefix !== undefined && secret.length > prefix.length ? prefix + ELLIPSIS : ELLIPSIS;
}

/** Anything shorter is a placeholder, and may well be part of a text by chance. */
const SHORTEST_SECRET = 8;

/** True where `text` would show the secret. */
export function holdsSecret(text: string, secret: string): boolean {
  return secret.length >= SHORTEST_SECRET && text.includes(secret);
}

/**
 * A stable id for a key that declares none: `key-` and twelve hex digits, so that no two keys of a large pool share
 * one. The domain string keeps the digits from matching a plain SHA-256 of the key kept elsewhere.
 */
export function secretId(secret: string): string {
  const digest = createHash('sha256').update('execution-guard:key-id:v1\0').update(secret).digest('hex');
  return `key-${digest.slice(0, 12)}`;
}
