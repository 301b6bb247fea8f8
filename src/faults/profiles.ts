import type { FaultProfile } from './fault.ts';
import { gemini } from './providers/gemini.ts';
import { generic } from './providers/generic.ts';
import { openai } from './providers/openai.ts';

/** In the order in which they are tried on a provider's name. */
const DESCRIBED: readonly FaultProfile[] = [gemini, openai];

const byName = new Map([...DESCRIBED, generic].map((profile) => [profile.name, profile]));

/**
 * The profile a provider's failures are read with: the declared one, else the first whose patterns fit
 * the provider's name, else `generic`.
 *
 * @param declared a profile of one's own, or the name of a known one. Throws an Error for an unknown name.
 */
export function profileFor(providerName: string, declared?: string | FaultProfile): FaultProfile {
  if (typeof declared === 'object') return declared;
  if (declared === undefined) return DESCRIBED.find((profile) => isMeant(profile, providerName)) ?? generic;
  const profile = byName.get(declared);
  if (profile) return profile;
  const known = [...byName.keys()].sort().join(', ');
  throw new Error(`Unknown fault profile "${declared}". Known profiles: ${known}.`);
}

function isMeant(profile: FaultProfile, providerName: string): boolean {
  const fits = (pattern: string): boolean => matches(pattern, providerName);
  return profile.providers.some(fits) && !profile.exceptProviders?.some(fits);
}

/** `*` stands for anything; case does not matter. */
function matches(pattern: string, name: string): boolean {
  const literal = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${literal.join('.*')}$`, 'is').test(name);
}
