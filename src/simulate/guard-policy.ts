import { ExecutionGuard, type ExecutionGuardConfig, type KeyLimits, type KeyProviderConfig, type StateStore } from '../index.ts';
import type { Policy, RunningPolicy, Surroundings } from './policy.ts';
import { SharedStore } from './shared-store.ts';
import type { Scenario, SimulatedProvider, SimulatedQuota, TraceCall } from './scenario.ts';

const QUOTA_NAMES = { requests: { minute: 'rpm', day: 'rpd' }, tokens: { minute: 'tpm', day: 'tpd' } } as const;

/** Nobody is turned away while there is time to wait. */
const LONG_QUEUE = 1_000_000;

/** The guard itself, one per process, as it is configured by who knows what the scenario says he was told. */
export const guardPolicy: Policy = { name: 'guard', start: surroundings => start(surroundings, () => undefined) };

/** The guard with its keys, and what is known of their limits, and nothing else in its configuration. */
export const defaultsPolicy: Policy = {
  name: 'guard, defaults',
  start: surroundings => {
    const guard = { options: { queue: {} } };
    return start({ ...surroundings, scenario: { ...surroundings.scenario, guard } }, () => undefined);
  },
};

/** The guard, that tells of each attempt of one call which key was chosen, and why no other one was. */
export function explainingPolicy(callId: number, report: (text: string) => void): Policy {
  return {
    name: 'guard',
    start: surroundings =>
      start(surroundings, guard => {
        guard.on('choice', ({ attempt, keyId, keys, tags }) => {
          if (!tags.includes(String(callId))) return;
          const at = new Date(surroundings.clock.now()).toISOString();
          const lines = keys.map(({ id, state, why }) => `  ${id === keyId ? '>' : ' '} ${id}: ${state}: ${why}`);
          report([`${at} attempt ${attempt}: ${keyId ?? 'no key'}`, ...lines].join('\n'));
        });
      }),
  };
}

function start({ attempt, clock, random, scenario }: Surroundings, watch: (guard: ExecutionGuard) => void): RunningPolicy {
  const { processes = 1 } = scenario;
  const store = processes > 1 ? new SharedStore(clock) : undefined;
  const config = configOf(scenario, store);
  const guards = Array.from({ length: processes }, () => {
    const guard = new ExecutionGuard(config, { clock, random, env: {}, warn: () => undefined });
    watch(guard);
    return guard;
  });
  return {
    call(call, process, signal) {
      const { id, model, patienceMs, provider, session, tokens } = call;
      return guards[process]!.execute(
        async context => {
          const answer = await attempt(call, context.keyId ?? '', context.signal);
          context.reportUsage(answer.usage);
          return answer;
        },
        { providerName: provider, model, tokens, deadlineMs: patienceMs, sessionId: session, signal, tags: [String(id)] },
      );
    },
    close: () => {
      for (const guard of guards) guard.close();
    },
  };
}

function configOf(scenario: Scenario, store: StateStore | undefined): ExecutionGuardConfig {
  const { guard = {}, providers, traffic } = scenario;
  const all = traffic.flatMap((each): readonly Pick<TraceCall, 'provider' | 'model'>[] =>
    each.shape === 'trace' ? [each, ...each.calls] : [each],
  );
  const modelsOf = (name: string): string[] =>
    all.flatMap(({ provider, model }) => (provider === name && model !== undefined ? [model] : []));
  return {
    queue: { maxQueueSize: LONG_QUEUE },
    ...guard.options,
    ...(store && { store }),
    keyManagement: {
      providers: Object.fromEntries(
        Object.entries(providers).map(([name, provider]) => [name, { ...guard.pool, ...poolOf(provider, modelsOf(name)) }]),
      ),
    },
  };
}

function poolOf({ dialect, keys, quotas = [], told = {} }: SimulatedProvider, models: readonly string[]): KeyProviderConfig {
  const shared = quotas.filter(({ of }) => of === 'project' || of === 'organization');
  const isShared = told.groups === true && shared.length > 0;
  const groups: Record<string, { limits: KeyLimits }> = {};
  const namesOf = (of: readonly SimulatedQuota[], scale: number): KeyLimits =>
    Object.fromEntries(
      of.map(({ counts, limit, of: scope, per }) => [QUOTA_NAMES[counts][per], scope === 'key' ? limit * scale : limit]),
    );
  const known = (of: readonly SimulatedQuota[], scale = 1): KeyLimits => {
    if (!told.limits) return {};
    const ofAll = namesOf(of.filter(({ perModel }) => !perModel), scale);
    const ofModels = of.filter(({ perModel }) => perModel);
    if (ofModels.length === 0) return ofAll;
    return { ...ofAll, models: Object.fromEntries(models.map(model => [model, namesOf(ofModels, scale)])) };
  };
  const configured = keys.map(({ id, organization, project, scale }) => {
    const group = isShared ? (shared[0]!.of === 'project' ? project : organization) : undefined;
    if (group !== undefined) groups[group] = { limits: known(shared) };
    const own = quotas.filter(({ of }) => of === 'key' || (group === undefined && shared.some(each => each.of === of)));
    return {
      id,
      key: `secret-of-${id}`,
      ...(group !== undefined && { group }),
      limits: known(own, scale),
    };
  });
  return { keys: configured, groups, profile: dialect === 'plain' ? 'generic' : dialect };
}
