import type { Random } from '../clock.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../faults/durations.ts';
import { isMoment } from './moment.ts';
import { exponential, logNormal, seeded } from './random.ts';
import type { Scenario, TraceCall, Traffic } from './scenario.ts';

/** A call as its caller makes it, the same for every policy. Times are epoch ms. */
export interface AskedCall {
  /** In the order of coming, from 0 on. */
  readonly id: number;
  readonly at: number;
  readonly provider: string;
  readonly model: string | undefined;
  readonly tokens: number;
  readonly session: string | undefined;
  /** How long the caller says he waits. */
  readonly patienceMs: number;
  /** When he has left, whatever he said. */
  readonly leavesAt: number;
  /** How long the provider takes to answer it, from a key that is as fast as all. */
  readonly serviceMs: number;
}

const DEFAULT_LATENCY = { medianMs: 800, sigma: 0.5 };

/** All calls of a scenario, in the order they come. */
export function callsOf(scenario: Scenario, seed: number): AskedCall[] {
  const startAt = Date.parse(scenario.startAt);
  const calls: Omit<AskedCall, 'id'>[] = [];
  for (const [position, traffic] of scenario.traffic.entries()) {
    const random = seeded(seed, `traffic ${position}`);
    for (const { at, ...traced } of comingsOf(traffic, scenario, startAt, random)) {
      const { provider, patienceMs, sessions, leaving = 0 } = traffic;
      const of = traced.provider ?? provider;
      const { medianMs, sigma } = scenario.providers[of]?.latency ?? DEFAULT_LATENCY;
      const session = sessions === undefined ? undefined : `session-${Math.floor(random() * sessions)}`;
      const stays = random() < leaving ? random() * patienceMs : patienceMs;
      calls.push({
        at,
        provider: of,
        model: traced.model ?? traffic.model,
        tokens: traced.tokens ?? traffic.tokens ?? 0,
        session: traced.session ?? session,
        patienceMs,
        leavesAt: at + Math.ceil(stays),
        serviceMs: Math.max(1, Math.round(logNormal(random, medianMs, sigma))),
      });
    }
  }
  return calls.sort((a, b) => a.at - b.at).map((call, id) => ({ id, ...call }));
}

type Coming = { readonly at: number } & Partial<Omit<TraceCall, 'time'>>;

function* comingsOf(traffic: Traffic, { durationMs }: Scenario, startAt: number, random: Random): Generator<Coming> {
  if (traffic.shape === 'trace') {
    const first = timeOf(traffic.calls[0]?.time ?? 0);
    for (const { time, ...call } of traffic.calls) yield { ...call, at: startAt + timeOf(time) - first };
    return;
  }
  if (traffic.shape === 'burst') {
    const { atMs, calls, overMs } = traffic;
    for (let call = 0; call < calls; call++) yield { at: startAt + Math.floor(atMs + random() * overMs) };
    return;
  }
  // As many as there can be, of which as many are left out as there are fewer at that time.
  const most = mostOf(traffic);
  for (let ms = exponential(random, MINUTE_MS / most); ms < durationMs; ms += exponential(random, MINUTE_MS / most)) {
    const rate = rateAt(traffic, ms, startAt + ms, durationMs);
    if (random() * most < rate) yield { at: startAt + Math.floor(ms) };
  }
}

type Rated = Exclude<Traffic, { shape: 'trace' | 'burst' }>;

function mostOf(traffic: Rated): number {
  if (traffic.shape === 'ramp') return Math.max(traffic.fromPerMinute, traffic.toPerMinute);
  return traffic.shape === 'diurnal' ? 2 * traffic.perMinute : traffic.perMinute;
}

function rateAt(traffic: Rated, ms: number, at: number, durationMs: number): number {
  if (traffic.shape === 'steady') return traffic.perMinute;
  if (traffic.shape === 'ramp') {
    return traffic.fromPerMinute + ((traffic.toPerMinute - traffic.fromPerMinute) * ms) / durationMs;
  }
  const { peakHour, perMinute } = traffic;
  return perMinute * (1 + Math.cos((2 * Math.PI * ((at % DAY_MS) - peakHour * HOUR_MS)) / DAY_MS));
}

function timeOf(time: number | string): number {
  return typeof time === 'number' ? time : Date.parse(time);
}

/**
 * The calls of a trace: a line of JSON each, `{ "time", "provider", "model", "tokens", "session" }`.
 *
 * @throws TypeError naming the line that is none
 */
export function parseTrace(text: string): TraceCall[] {
  const calls: TraceCall[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw new TypeError(`line ${index + 1} is not JSON`);
    }
    calls.push(traceCall(value, index + 1));
  }
  return calls.sort((a, b) => timeOf(a.time) - timeOf(b.time));
}

function traceCall(value: unknown, line: number): TraceCall {
  const member = (name: string): unknown =>
    typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
  const time = member('time');
  const isTime = typeof time === 'number' ? Number.isFinite(time) : typeof time === 'string' && isMoment(time);
  if ((typeof time !== 'number' && typeof time !== 'string') || !isTime) {
    throw new TypeError(`line ${line}: time must be epoch ms or an ISO time with its offset`);
  }
  const text = (name: string): string | undefined => {
    const found = member(name);
    if (found === undefined || found === null) return undefined;
    if (typeof found !== 'string') throw new TypeError(`line ${line}: ${name} must be a string, found ${typeof found}`);
    return found;
  };
  const provider = text('provider');
  if (provider === undefined) throw new TypeError(`line ${line}: provider is missing`);
  const tokens = member('tokens') ?? undefined;
  if (tokens !== undefined && !(typeof tokens === 'number' && tokens >= 0)) {
    throw new TypeError(`line ${line}: tokens must be a number from 0 on`);
  }
  const model = text('model');
  const session = text('session');
  return {
    time,
    provider,
    ...(model !== undefined && { model }),
    ...(tokens !== undefined && { tokens }),
    ...(session !== undefined && { session }),
  };
}
