import type { FaultProfile } from './fault.ts';
import { alphavantage } from './providers/alphavantage.ts';
import { anthropic } from './providers/anthropic.ts';
import { azure } from './providers/azure.ts';
import { bedrock } from './providers/bedrock.ts';
import { binance } from './providers/binance.ts';
import { cohere } from './providers/cohere.ts';
import { coinbase } from './providers/coinbase.ts';
import { deepseek } from './providers/deepseek.ts';
import { finnhub } from './providers/finnhub.ts';
import { fireworks } from './providers/fireworks.ts';
import { gemini } from './providers/gemini.ts';
import { generic } from './providers/generic.ts';
import { groq } from './providers/groq.ts';
import { kraken } from './providers/kraken.ts';
import { massive } from './providers/massive.ts';
import { mistral } from './providers/mistral.ts';
import { nasdaq } from './providers/nasdaq.ts';
import { openai } from './providers/openai.ts';
import { openrouter } from './providers/openrouter.ts';
import { together } from './providers/together.ts';
import { vertex } from './providers/vertex.ts';
import { xai } from './providers/xai.ts';
import { wildcard } from './wildcard.ts';

/**
 * In the order in which they are tried on a provider's name. Who hosts other people's models comes first:
 * `bedrock-claude` fails as Bedrock does.
 */
const DESCRIBED: readonly FaultProfile[] = [
  openrouter,
  azure,
  vertex,
  bedrock,
  together,
  fireworks,
  groq,
  gemini,
  openai,
  anthropic,
  mistral,
  deepseek,
  cohere,
  xai,
  alphavantage,
  massive,
  finnhub,
  nasdaq,
  binance,
  kraken,
  coinbase,
];

/** Every profile there is, the generic one last. */
export const profiles: readonly FaultProfile[] = [...DESCRIBED, generic];

const byName = new Map(
  profiles.flatMap((profile) => [profile.name, ...(profile.aliases ?? [])].map((name) => [name, profile] as const)),
);

const names = DESCRIBED.map((profile) => ({
  profile,
  meant: profile.providers.map(forNames),
  excepted: (profile.exceptProviders ?? []).map(forNames),
}));

const hosts = DESCRIBED.flatMap((profile) =>
  (profile.hosts ?? []).map((pattern) => ({ profile, fits: forHosts(pattern) })),
);

/** Provider names may come from clients, so what is remembered of them is bounded. */
const MAX_REMEMBERED = 1000;
const remembered = new Map<string, FaultProfile>();

/**
 * The profile a provider's failures are read with: the declared one, else the first whose patterns fit
 * the provider's name, else `generic`.
 *
 * @param declared a profile of one's own, or the name of a known one. Throws an Error for an unknown name.
 */
export function profileFor(providerName: string, declared?: string | FaultProfile): FaultProfile {
  if (typeof declared === 'object') return declared;
  if (declared === undefined) return profileNamed(providerName);
  const profile = byName.get(declared);
  if (profile) return profile;
  const known = [...byName.keys()].sort().join(', ');
  throw new Error(`Unknown fault profile "${declared}". Known profiles: ${known}.`);
}

/** The profile of the API at a URL's host, its port left aside; undefined for a host nobody has described. */
export function profileForHost(host: string): FaultProfile | undefined {
  const name = host.toLowerCase().replace(/:\d+$/, '').replace(/\.$/, '');
  return hosts.find(({ fits }) => fits(name))?.profile;
}

function profileNamed(providerName: string): FaultProfile {
  const known = remembered.get(providerName);
  if (known) return known;
  const found = names.find(({ meant, excepted }) => {
    const fits = (pattern: RegExp): boolean => pattern.test(providerName);
    return meant.some(fits) && !excepted.some(fits);
  });
  const profile = found?.profile ?? generic;
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  remembered.set(providerName, profile);
  return profile;
}

/** `*` stands for anything; case does not matter. */
function forNames(pattern: string): RegExp {
  return wildcard(pattern, '.*', 'is');
}

/** A whole host, a suffix, or `*` for a part of one label. */
function forHosts(pattern: string): (host: string) => boolean {
  if (pattern.startsWith('.')) return (host) => host.endsWith(pattern) && host !== pattern;
  if (!pattern.includes('*')) return (host) => host === pattern;
  const expression = wildcard(pattern, '[^.]*');
  return (host) => expression.test(host);
}
