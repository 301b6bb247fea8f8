import type { Scenario } from '../../src/simulate/scenario.ts';

/** What each process knows of the keys of each provider: made when first asked for, and shared with nobody. */
export function poolsOf<Pool extends object>(
  { providers }: Scenario,
  make: (keyIds: readonly string[], provider: string) => Pool,
): (process: number, provider: string) => Pool {
  const pools = new Map<string, Pool>();
  return (process, provider) => {
    const name = `${process} ${provider}`;
    let pool = pools.get(name);
    if (!pool) {
      pool = make(providers[provider]?.keys.map(({ id }) => id) ?? [], provider);
      pools.set(name, pool);
    }
    return pool;
  };
}
