import type { Scenario } from './scenario.ts';
import type { AskedCall } from './traffic.ts';
import { Upstream } from './upstream.ts';

/**
 * How many calls can be served by who knows every quota, every trouble and every caller beforehand: those that have to
 * begin first go first, with whatever key is free. Requests count as soon as they are sent.
 *
 * The most there is where all calls ask for as much, all callers are equally patient, and no key is in trouble: tests hold
 * it against all possible schedules. Else it is what one can do without holding back a call that could begin, and a few
 * more may be possible.
 */
export function mostServable(scenario: Scenario, calls: readonly AskedCall[]): number {
  const startAt = Date.parse(scenario.startAt);
  let served = 0;
  for (const [name, model] of Object.entries(scenario.providers)) {
    const upstream = new Upstream(name, model, startAt);
    served += servable(upstream, calls.filter(({ provider }) => provider === name));
  }
  return served;
}

function servable(upstream: Upstream, calls: readonly AskedCall[]): number {
  const keys = upstream.model.keys.map(({ id }) => id);
  // Where one model has no room, another one may have.
  const waiting = new Map<string | undefined, AskedCall[]>();
  let next = 0;
  let turn = 0;
  let served = 0;
  let now = calls[0]?.at ?? 0;
  const latestStart = ({ leavesAt, serviceMs }: AskedCall): number => leavesAt - serviceMs;
  const isStaying = ({ at, leavesAt, patienceMs }: AskedCall): boolean => leavesAt >= at + patienceMs;
  const serveFirst = (line: AskedCall[]): number => {
    while (line[0] && latestStart(line[0]) < now) line.shift();
    const [call] = line;
    if (!call) return Infinity;
    const choice = choose(upstream, keys, call, now, turn);
    if (choice.at > now) return choice.at;
    turn = choice.index + 1;
    upstream.admit(keys[choice.index]!, call, now);
    served++;
    line.shift();
    return now;
  };
  const isNobodyLeft = (): boolean => [...waiting.values()].every(line => line.length === 0);
  while (next < calls.length || !isNobodyLeft()) {
    for (let call = calls[next]; call && call.at <= now; call = calls[++next]) {
      const line = waiting.get(call.model) ?? [];
      waiting.set(call.model, line);
      if (isStaying(call)) insert(line, call, latestStart);
    }
    let freeAt = now;
    while (freeAt <= now) {
      freeAt = Infinity;
      const urgent = [...waiting.values()].filter(([first]) => first).sort(([a], [b]) => latestStart(a!) - latestStart(b!));
      for (const line of urgent) {
        freeAt = Math.min(freeAt, serveFirst(line));
        if (freeAt <= now) break;
      }
    }
    const comesAt = calls[next]?.at ?? Infinity;
    const at = Math.min(freeAt, comesAt);
    if (at === Infinity) break;
    now = Math.max(at, now);
  }
  return served;
}

interface Choice {
  readonly index: number;
  readonly at: number;
}

/** Of those that are free now: one that remembers the prompt, else the next in turn. */
function choose(upstream: Upstream, keys: readonly string[], call: AskedCall, now: number, turn: number): Choice {
  let earliest: Choice = { index: -1, at: Infinity };
  for (let step = 0; step < keys.length; step++) {
    const index = (turn + step) % keys.length;
    const at = upstream.servesAt(keys[index]!, call, now);
    if (at <= now && (call.session === undefined || upstream.isCached(keys[index]!, call.session, now))) return { index, at };
    if (at < earliest.at) earliest = { index, at };
  }
  return earliest;
}

function insert(waiting: AskedCall[], call: AskedCall, latestStart: (call: AskedCall) => number): void {
  let low = 0;
  let high = waiting.length;
  const start = latestStart(call);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (latestStart(waiting[middle]!) <= start) low = middle + 1;
    else high = middle;
  }
  waiting.splice(low, 0, call);
}
