import type { AttemptEvent, BreakerEvent, CallEvent, FailoverEvent, KeyEvent, KeyExplanation } from '../../src/index.ts';
import type { LoggedRequest } from '../../test/support/loopback/index.ts';
import type { DemoKey, ProviderName } from './scenario.ts';
import { table } from './table.ts';

/** All that was seen, by the guard and by the providers. */
export interface Observations {
  readonly keys: readonly DemoKey[];
  readonly calls: readonly CallEvent[];
  readonly attempts: readonly AttemptEvent[];
  readonly keyChanges: readonly (KeyEvent & { readonly atMs: number })[];
  readonly failovers: readonly FailoverEvent[];
  readonly breakers: { readonly changes: readonly BreakerEvent[]; readonly failureThreshold: number };
  readonly requests: Readonly<Record<ProviderName, readonly LoggedRequest[]>>;
  /** What the guard says of each key at the end, by id. */
  readonly outlook: ReadonlyMap<string, Pick<KeyExplanation, 'state' | 'until'>>;
}

export function report(seen: Observations): string {
  return [
    section('Calls, as their callers saw them', callsTable(seen)),
    section('Keys: who served what', keysTable(seen)),
    section('What was set aside, and why', changesTable(seen)),
    section('Upstream, as the providers saw it', upstreamTable(seen)),
  ].join('\n\n');
}

function section(title: string, body: string): string {
  return `${title}\n\n${body.replace(/^(?=.)/gm, '  ')}`;
}

const PROVIDERS: readonly ProviderName[] = ['gemini', 'openai'];

function callsTable({ calls }: Observations): string {
  return table(PROVIDERS, [
    { title: 'provider', cell: (provider) => provider },
    { title: 'calls', cell: (provider) => ofProvider(calls, provider).length },
    { title: 'answered', cell: (provider) => ofProvider(calls, provider).filter(({ ok }) => ok).length },
    { title: 'failed', cell: (provider) => ofProvider(calls, provider).filter(({ ok }) => !ok).length },
    {
      title: 'took more than one attempt',
      cell: (provider) => ofProvider(calls, provider).filter(({ attempts }) => attempts > 1).length,
    },
    { title: 'median ms', cell: (provider) => quantile(durations(ofProvider(calls, provider)), 0.5) },
    { title: 'slowest ms', cell: (provider) => quantile(durations(ofProvider(calls, provider)), 1) },
  ]);
}

function keysTable({ keys, attempts, outlook }: Observations): string {
  const of = ({ id }: DemoKey): readonly AttemptEvent[] => attempts.filter(({ keyId }) => keyId === id);
  return table(keys, [
    { title: 'key', cell: ({ id }) => id },
    { title: 'provider', cell: ({ provider }) => provider },
    { title: 'group', cell: ({ group }) => group },
    { title: 'attempts', cell: (key) => of(key).length },
    { title: 'answers', cell: (key) => of(key).filter(({ ok }) => ok).length },
    {
      title: 'failures',
      cell: (key) => counted(of(key).map(({ ok, fault }) => (ok ? undefined : (fault ?? 'other')))),
    },
    { title: 'now', cell: ({ id }) => outlook.get(id)?.state ?? '' },
    { title: 'until', cell: ({ id }) => instant(outlook.get(id)?.until) },
  ]);
}

function changesTable({ keyChanges }: Observations): string {
  return table(keyChanges, [
    { title: 'after', cell: ({ atMs }) => seconds(atMs) },
    { title: 'what', cell: ({ group, keyId }) => (group === undefined ? `key ${keyId}` : `group ${group}`) },
    { title: 'model', cell: ({ model }) => model ?? 'all' },
    { title: 'change', cell: ({ from, to }) => `${from} -> ${to}` },
    { title: 'why', cell: ({ reason }) => reason },
    { title: 'until', cell: ({ until }) => instant(until) },
  ]);
}

function upstreamTable({ attempts, breakers, failovers, requests }: Observations): string {
  const wasted = (provider: ProviderName): readonly LoggedRequest[] =>
    requests[provider].filter(({ kind }) => kind !== 'ok');
  const rows = table(PROVIDERS, [
    { title: 'provider', cell: (provider) => provider },
    { title: 'requests', cell: (provider) => requests[provider].length },
    { title: 'answered', cell: (provider) => requests[provider].length - wasted(provider).length },
    { title: 'wasted', cell: (provider) => wasted(provider).length },
    {
      title: 'wasted on',
      cell: (provider) => counted(wasted(provider).map(({ kind, keyId }) => `${kind ?? 'none'} (${keyId})`)),
    },
  ]);
  const received = requests.gemini.length + requests.openai.length;
  const after = failovers.length === 0 ? '' : `, after: ${counted(failovers.map(({ fault }) => fault))}`;
  return [
    rows,
    '',
    `The guard counts ${attempts.length} attempts, the providers ${received} requests.`,
    `${failovers.length} times a call went on with another key${after}.`,
    breakerLine(breakers),
  ].join('\n');
}

function breakerLine({ changes, failureThreshold }: Observations['breakers']): string {
  const opened = changes.filter(({ state }) => state === 'OPEN').map(({ provider }) => provider);
  if (opened.length > 0) return `Breakers opened: ${counted(opened)}.`;
  return `No breaker opened: that takes ${failureThreshold} failed calls in a row, whatever their attempts.`;
}

function ofProvider(calls: readonly CallEvent[], name: ProviderName): readonly CallEvent[] {
  return calls.filter(({ provider }) => provider === name);
}

function durations(calls: readonly CallEvent[]): readonly number[] {
  return calls.map(({ durationMs }) => durationMs).sort((a, b) => a - b);
}

/** Of sorted values; 0 where there are none. */
function quantile(sorted: readonly number[], share: number): number {
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0);
}

/** `2 rpm, 1 revoked`, in the order of first appearance. */
function counted(names: readonly (string | undefined)[]): string {
  const counts = new Map<string, number>();
  for (const name of names) if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => `${count} ${name}`).join(', ');
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

export function instant(at: number | undefined): string {
  return at === undefined ? '' : `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
