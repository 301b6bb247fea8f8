import type { FaultProfile } from '../faults/fault.ts';
import { profileFor, profileForHost } from '../faults/profiles.ts';
import { shownName } from '../guard/config/issues.ts';
import { nearest } from '../guard/config/nearest.ts';
import type { ExecutionGuard } from '../guard/execution-guard.ts';
import { placeholder } from '../keys/placeholder.ts';
import { findCredential, isSigned, type Credential, type Envelope } from './credential.ts';

/** Chooses the provider of a request; undefined leaves it to the request's key and host. */
export type Route = (request: { readonly url: URL; readonly headers: Headers }) => string | undefined;

/** Whose request it is, and where its key goes. */
export interface Destination {
  readonly provider: string;
  readonly profile: FaultProfile;
  readonly credential: Credential;
  /** Why no pool takes the place of the placeholder that the request has; undefined where one does, or it has none. */
  readonly noPool: string | undefined;
}

/** Fuller names that a pool for a known host may go by: a pool `google-gemini` is none for `gemini` alone. */
const FULL_NAMES: Readonly<Record<string, readonly string[]>> = {
  anthropic: ['anthropic-claude'],
  azure: ['azure-openai'],
  bedrock: ['aws-bedrock', 'amazon-bedrock'],
  gemini: ['google-gemini'],
  vertex: ['google-vertex'],
  xai: ['xai-grok'],
};

/** Somebody else's words may stand there, and would have the key sent anywhere. */
const NO_PLACE = 'the parameter it stands in is not known to hold keys: set `provider` if it does';

/** Tells which requests are the guard's business, and under which provider's name. */
export class Router {
  private readonly guard: ExecutionGuard;
  private readonly provider: string | undefined;
  private readonly route: Route | undefined;
  /** The names by which known hosts have found their pool. */
  private readonly found = new Map<FaultProfile, string>();

  constructor(guard: ExecutionGuard, provider: string | undefined, route: Route | undefined) {
    this.guard = guard;
    this.provider = provider;
    this.route = route;
  }

  /** Undefined for a request that is to go out as it is. */
  destinationOf(envelope: Envelope): Destination | undefined {
    const hosted = profileForHost(envelope.url.host);
    const named = this.provider ?? this.route?.(envelope);
    // Which parameters can be a key depends on the provider, and the key may name the provider.
    const suspected = hosted ?? (named === undefined ? undefined : profileFor(named));
    const credential = findCredential(envelope, suspected?.name ?? '');
    const held = placeholder(credential.value);
    // A placeholder must not go out, whatever else the request says.
    if (held === undefined && isSigned(envelope)) return undefined;
    const found = named ?? (held || undefined) ?? (hosted && this.poolNameFor(hosted));
    if (found === undefined && (held === undefined || isAnybodys(credential, hosted))) return undefined;
    const provider = found ?? hosted?.name;
    const isUnsure = credential.isDoubtful && hosted === undefined && named === undefined;
    const noPool = held === undefined ? undefined : isUnsure ? NO_PLACE : this.whyNoPool(provider, envelope.url);
    const profile = hosted ?? profileFor(provider ?? '');
    return {
      provider: provider ?? '',
      profile,
      credential: suspected ? credential : findCredential(envelope, profile.name),
      noPool,
    };
  }

  private whyNoPool(provider: string | undefined, { host }: URL): string | undefined {
    const { keys } = this.guard;
    if (provider !== undefined && keys.poolFor(provider) !== undefined) return undefined;
    // With key management switched off the pools are there, and lead nowhere.
    const pools = keys.list().flatMap(({ pattern }) => (keys.poolFor(pattern) === undefined ? [] : [pattern]));
    const there = pools.length === 0 ? 'there is none' : `there are ${pools.map(name => `\`${name}\``).join(', ')}`;
    if (provider === undefined) {
      return `the host ${host} is not a known API: write \`guard:<pool>\` in the key's place, or set \`provider\`; ${there}`;
    }
    const meant = nearest(provider, pools);
    return `no pool for \`${shownName(provider)}\`; ${there}${meant === undefined ? '' : `; did you mean \`${meant}\`?`}`;
  }

  private poolNameFor(profile: FaultProfile): string | undefined {
    const known = this.found.get(profile);
    // It may have been taken out since.
    if (known !== undefined && this.guard.keys.poolFor(known) !== undefined) return known;
    const names = [profile.name, ...(profile.aliases ?? []), ...(FULL_NAMES[profile.name] ?? [])];
    const name = names.find(each => this.isPoolOf(each, profile));
    if (name !== undefined) this.found.set(profile, name);
    return name;
  }

  /** A name may lead to somebody else's pool: `azure-openai` has `openai` in it. */
  private isPoolOf(name: string, profile: FaultProfile): boolean {
    const pool = this.guard.keys.poolFor(name);
    if (pool === undefined) return false;
    const meant = profileFor(pool);
    return meant === profile || meant === profileFor('');
  }
}

/** Anybody's `?key=guard` is no placeholder. */
function isAnybodys({ places }: Credential, hosted: FaultProfile | undefined): boolean {
  return hosted === undefined && places[0]?.in === 'query';
}
