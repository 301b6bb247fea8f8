import { profileFor } from '../faults/profiles.ts';
import { formatPath } from '../guard/config/issues.ts';
import type { ResolvedKeyProvider } from '../guard/config/types.ts';
import type { ConfigIssue } from '../guard/errors.ts';
import { variableBase } from '../keys/environment.ts';
import { ProviderResolver } from '../keys/resolution.ts';
import type { EnvironmentAnswer, RegisterSection } from './section.ts';

/** What one variable answers. */
export interface Answer {
  readonly provider: string;
  readonly with: EnvironmentAnswer;
}

/** Variables that SDKs read beside the one that is named after their provider; by the name of its fault profile. */
const OTHER_NAMES: Readonly<Record<string, readonly string[]>> = {
  // https://ai-sdk.dev/providers/ai-sdk-providers/google-generative-ai. Not GOOGLE_API_KEY: it may be for maps.
  gemini: ['GOOGLE_GENERATIVE_AI_API_KEY'],
  // https://learn.microsoft.com/azure/ai-services/openai
  azure: ['AZURE_OPENAI_API_KEY'],
  // https://docs.cohere.com: its SDK
  cohere: ['CO_API_KEY'],
  // https://docs.together.ai and the AI SDK
  together: ['TOGETHER_AI_API_KEY'],
};

/** Their clients sign each request with a second secret: a placeholder would be signed and sent. */
const SIGNING = new Set(['binance', 'coinbase', 'kraken']);

type Pools = Readonly<Record<string, ResolvedKeyProvider>>;

export type ReadAnswers =
  | { readonly answers: ReadonlyMap<string, Answer>; readonly issues?: undefined }
  | { readonly issues: readonly ConfigIssue[] };

/** The variables that are to answer. Where two pools have the same, the one it is named after, else the first. */
export function answersOf(
  interceptEnv: RegisterSection['interceptEnv'],
  pools: Pools,
  env: Readonly<Record<string, string | undefined>> = process.env,
): ReadAnswers {
  const resolver = new ProviderResolver(Object.keys(pools).map(pattern => [pattern, pattern]));
  if (typeof interceptEnv === 'object') return named(interceptEnv, resolver);
  const answers = new Map<string, Answer>();
  if (interceptEnv === undefined || interceptEnv === false) return { answers };
  const served = Object.entries(pools).flatMap(([pattern, { keys, profile }]) => {
    const provider = pattern.replaceAll('*', '');
    const { name } = profileFor(pattern, profile);
    // A name that leads elsewhere, or that no header can hold, stands for no pool.
    const isMeant = resolver.resolve(provider) === pattern && /^[!-~]+$/.test(provider) && !SIGNING.has(name);
    return isMeant ? [{ provider, profile: name, source: keys && 'env' in keys ? keys.env : undefined }] : [];
  });
  const add = (variable: string, provider: string): void => {
    if (!answers.has(variable)) {
      answers.set(variable, { provider, with: interceptEnv === 'key' ? 'key' : 'placeholder' });
    }
  };
  for (const { provider, source } of served) {
    const base = variableBase(source ?? provider);
    // One that holds a key itself, such as MY_TOKEN.
    if (source === base && env[base] !== undefined) add(base, provider);
    if (base !== '') add(`${base}_API_KEY`, provider);
  }
  for (const { provider, profile } of served) {
    if (profile === profileFor('').name) continue;
    for (const variable of [`${variableBase(profile)}_API_KEY`, ...(OTHER_NAMES[profile] ?? [])]) add(variable, provider);
  }
  return { answers };
}

function named(interceptEnv: Readonly<Record<string, string>>, resolver: ProviderResolver<string>): ReadAnswers {
  const answers = new Map<string, Answer>();
  const issues: ConfigIssue[] = [];
  for (const [variable, answer] of Object.entries(interceptEnv)) {
    const provider = answer.slice(answer.indexOf(':') + 1);
    if (resolver.resolve(provider) === undefined) {
      const path = formatPath(['register', 'interceptEnv', variable]);
      issues.push({ path, message: 'expected the name of a provider that has a pool, found another name' });
    }
    answers.set(variable, { provider, with: answer.startsWith('key:') ? 'key' : 'placeholder' });
  }
  return issues.length > 0 ? { issues } : { answers };
}
