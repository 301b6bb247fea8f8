import { ProviderResolver } from '../keys/resolution.ts';
import type { FallbackHop } from './config/types.ts';

/** A chain as it is written: names of providers, or what changes. */
export type Hops = readonly (string | FallbackHop)[];

/** A provider and model that a call goes on to. */
export interface Stop {
  readonly provider: string;
  readonly model: string | undefined;
}

/** The chains of the configuration, by provider. */
export class FallbackChains {
  /** Undefined where there are none. */
  private resolver: ProviderResolver<Hops> | undefined;

  constructor(chains: Readonly<Record<string, Hops>>) {
    const entries = Object.entries(chains);
    this.resolver = entries.length === 0 ? undefined : new ProviderResolver(entries);
  }

  of(provider: string): Hops | undefined {
    return this.resolver?.resolve(provider);
  }
}

/**
 * Where a call goes in turn after its first provider. A hop without a provider stays at the one before; one that names
 * no model asks for the call's own. Where a call has been already, it does not go again.
 */
export function stopsOf(hops: Hops, provider: string, model: string | undefined): Stop[] {
  const seen = new Set([nameOf({ provider, model })]);
  const stops: Stop[] = [];
  let before = provider;
  for (const hop of hops) {
    const given = typeof hop === 'string' ? { provider: hop } : hop;
    const stop = { provider: given.provider ?? before, model: given.model ?? model };
    before = stop.provider;
    const name = nameOf(stop);
    if (seen.has(name)) continue;
    seen.add(name);
    stops.push(stop);
  }
  return stops;
}

function nameOf({ provider, model }: Stop): string {
  return JSON.stringify([provider.toLowerCase(), model]);
}
