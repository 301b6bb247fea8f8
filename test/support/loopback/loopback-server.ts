import { startHost } from './http-host.ts';
import type { Host, IncomingRequest, Outcome, Reply, WireEntry } from './http-host.ts';
import { isDimension, Meter } from './quota.ts';
import type { Dimension, GroupLimits, Refusal, Window } from './quota.ts';
import { asClock } from './time.ts';
import type { TimeSource } from './time.ts';

/** The failures every provider has an answer for; a limit that is hit is named by its dimension. */
export type CommonFailure =
  | 'missing_key'
  | 'invalid_key'
  | 'not_found'
  | 'unknown_model'
  | 'bad_request'
  | 'overloaded'
  | 'internal'
  | Dimension;

/**
 * Failures of the wire, the same for all providers. Before any content: `hang`, `reset` and, on a stream,
 * an error event (`stream_error`). After some content: an error event (`stream_error_late`), a broken
 * connection (`cut`), silence (`stall`). On an answer that is no stream the error events are an `overloaded`.
 */
export type Breakage = 'hang' | 'reset' | 'stream_error' | 'stream_error_late' | 'cut' | 'stall';

const BREAKAGES: readonly string[] = ['hang', 'reset', 'stream_error', 'stream_error_late', 'cut', 'stall'];

function isBreakage(kind: string): kind is Breakage {
  return BREAKAGES.includes(kind);
}

/** What a request asks of a model. */
export interface ModelCall {
  readonly model: string;
  readonly prompt: string;
  /** Counted against the token limits. */
  readonly tokens: number;
}

/** What is known of a request when it is answered. */
export interface Situation {
  readonly request: IncomingRequest;
  readonly requestId: string;
  readonly now: number;
  readonly secret: string | undefined;
  readonly group: string | undefined;
  readonly call: ModelCall | undefined;
  /** The match of the route's path. */
  readonly match: RegExpExecArray | undefined;
  readonly meter: Meter | undefined;
  /** The limits that were hit, the one that decides first. */
  readonly refusals: readonly Refusal[];
  /** What is wrong with a bad request. */
  readonly complaint: string | undefined;
}

export interface Route {
  readonly method: string;
  readonly path: RegExp;
  /** Present where the route reaches a model; a string says what is wrong with the request. */
  readonly read?: (request: IncomingRequest, match: RegExpExecArray) => ModelCall | string;
  /** False where the route reaches a model outside the quotas. */
  readonly metered?: boolean;
  readonly answer: (situation: Situation) => Reply | Promise<Reply>;
}

/** All that tells one provider from another. */
export interface Provider<Failure extends string> {
  readonly models: readonly string[];
  /** The secret, from wherever this provider's clients put it. */
  readonly credential: (request: IncomingRequest) => string | undefined;
  readonly routes: readonly Route[];
  readonly window: (dimension: Dimension, limit: number) => Window;
  readonly error: (kind: Failure | CommonFailure, situation: Situation) => Reply;
  /** An error in the middle of a stream, as one chunk. */
  readonly streamError: (error: Reply) => string;
  /** Headers that go with every answer. */
  readonly headers?: (situation: Situation) => Record<string, string>;
}

export interface KeyDescription<Failure extends string> {
  /** How the log calls the key; `key-1`, `key-2`, ... by position when absent. */
  readonly id?: string;
  /** The keys of one group share its quotas. */
  readonly group: string;
  /** Anything but `ok` is the failure that every request with this key meets. */
  readonly state?: 'ok' | Failure | CommonFailure;
}

export interface LoopbackOptions<Failure extends string> {
  /** The time windows and outages go by; real time when absent. */
  readonly clock?: TimeSource;
  /** Time from a request to its answer; 0 when absent. */
  readonly latencyMs?: number | (() => number);
  /** Time between the chunks of a stream; 0 when absent. */
  readonly chunkDelayMs?: number;
  /** The failure that all requests meet from the start; see {@link LoopbackServer.setOutage}. */
  readonly outage?: Failure | CommonFailure | Breakage;
}

export interface LoopbackDescription<Failure extends string> extends LoopbackOptions<Failure> {
  readonly groups: Readonly<Record<string, GroupLimits>>;
  readonly keys: Readonly<Record<string, KeyDescription<Failure>>>;
}

export interface LoggedRequest extends WireEntry {
  /** The key's id; `unknown` for a key nobody described, `none` where the request had no key. */
  keyId: string;
  group: string | undefined;
  model: string | undefined;
  /** `ok`, or the failure that was served; undefined until the server has decided. */
  kind: string | undefined;
}

export interface LoopbackServer<Failure extends string> extends Host<LoggedRequest> {
  /**
   * All requests meet this failure from now on, for `forMs` or until the next call; `undefined` ends it.
   * An error stands behind the check of the key, so a dead key still hears that it is dead.
   */
  setOutage(kind: Failure | CommonFailure | Breakage | undefined, forMs?: number): void;
  /** The next `count` requests meet this failure, whatever their key. Calls line up. */
  failNext(count: number, kind: Failure | CommonFailure | Breakage): void;
  /** Uses up what is left of the group's day, of one model or all. Throws where it has no `rpd`. */
  exhaustDay(group: string, model?: string): void;
  /** Throws on a key nobody described. */
  setKeyState(secret: string, state: 'ok' | Failure | CommonFailure): void;
}

interface Key<Failure extends string> {
  readonly id: string;
  readonly group: string;
  state: 'ok' | Failure | CommonFailure;
}

/** Serves `provider` on 127.0.0.1 to the keys of `description`. */
export async function startLoopback<Failure extends string>(
  provider: Provider<Failure>,
  description: LoopbackDescription<Failure>,
): Promise<LoopbackServer<Failure>> {
  type AnyFailure = Failure | CommonFailure | Breakage;

  const clock = asClock(description.clock);
  const groups = new Map(Object.entries(description.groups));
  const keys = new Map<string, Key<Failure>>();
  for (const [position, [secret, { id, group, state }]] of Object.entries(description.keys).entries()) {
    if (!groups.has(group)) throw new RangeError(`key ${position + 1} belongs to "${group}", which is not described`);
    keys.set(secret, { id: id ?? `key-${position + 1}`, group, state: state ?? 'ok' });
  }
  const meters = new Map<string, Meter>();
  const upcoming: AnyFailure[] = [];
  let outage: { readonly kind: AnyFailure; readonly endsAt: number } | undefined;
  let served = 0;

  function meterOf(group: string, model: string): Meter | undefined {
    const limits = groups.get(group);
    const own = limits?.models?.[model];
    if (limits === undefined || own === false) return undefined;
    const name = JSON.stringify([group, model]);
    let meter = meters.get(name);
    if (!meter) {
      meter = new Meter(own ?? limits, provider.window);
      meters.set(name, meter);
    }
    return meter;
  }

  function currentOutage(now: number): AnyFailure | undefined {
    return outage && now < outage.endsAt ? outage.kind : undefined;
  }

  async function answer(request: IncomingRequest, entry: LoggedRequest): Promise<Outcome> {
    const now = clock.now();
    served += 1;
    const secret = provider.credential(request);
    const key = secret === undefined ? undefined : keys.get(secret);
    const found = findRoute(provider.routes, request);
    const call = found?.route.read?.(request, found.match);
    const known = typeof call === 'object' && provider.models.includes(call.model);
    let situation: Situation = {
      request,
      requestId: `req_${String(served).padStart(8, '0')}`,
      now,
      secret,
      group: key?.group,
      call: typeof call === 'object' ? call : undefined,
      match: found?.match,
      meter: key && known ? meterOf(key.group, call.model) : undefined,
      refusals: [],
      complaint: typeof call === 'string' ? call : undefined,
    };
    entry.keyId = key?.id ?? (secret === undefined ? 'none' : 'unknown');
    entry.group = key?.group;
    entry.model = situation.call?.model;

    const planned = upcoming.shift();
    const disturbance = planned ?? currentOutage(now);
    const breakage = disturbance !== undefined && isBreakage(disturbance) ? disturbance : undefined;
    let failure = planned !== undefined && !isBreakage(planned) ? planned : undefined;
    if (breakage === 'hang' || breakage === 'reset') {
      entry.kind = breakage;
      return breakage;
    }
    failure ??= refusedKey(secret, key);
    if (failure === undefined && disturbance !== undefined && !isBreakage(disturbance)) failure = disturbance;
    if (failure === undefined) {
      if (found === undefined) failure = 'not_found';
      else if (situation.complaint !== undefined) failure = 'bad_request';
      else if (situation.call && !situation.meter) failure = 'unknown_model';
      else if (situation.call && found.route.metered !== false) {
        const refusals = situation.meter?.admit(situation.call.tokens, now) ?? [];
        situation = { ...situation, refusals };
        failure = refusals[0]?.dimension;
      }
    }
    if (failure !== undefined || found === undefined) {
      const kind = failure ?? 'not_found';
      entry.kind = kind;
      return withHeaders(provider.error(kind, withRefusal(kind, situation)), situation);
    }
    const reply = await found.route.answer(situation);
    entry.kind = breakage ?? (reply.status < 400 ? 'ok' : 'not_found');
    return withHeaders(breakage ? broken(breakage, reply, situation) : reply, situation);
  }

  function refusedKey(secret: string | undefined, key: Key<Failure> | undefined): Failure | CommonFailure | undefined {
    if (secret === undefined) return 'missing_key';
    if (key === undefined) return 'invalid_key';
    return key.state === 'ok' ? undefined : key.state;
  }

  function broken(breakage: Exclude<Breakage, 'hang' | 'reset'>, reply: Reply, situation: Situation): Reply {
    if (breakage === 'cut' || breakage === 'stall') return { ...reply, ending: breakage };
    const error = provider.error('overloaded', situation);
    if (reply.chunks === undefined) return error;
    const before = breakage === 'stream_error' ? [] : reply.chunks.slice(0, 2);
    return { ...reply, chunks: [...before, provider.streamError(error)] };
  }

  function withHeaders(reply: Reply, situation: Situation): Reply {
    return { ...reply, headers: { ...provider.headers?.(situation), ...reply.headers } };
  }

  const host = await startHost<LoggedRequest>({
    clock,
    latencyMs: description.latencyMs ?? 0,
    chunkDelayMs: description.chunkDelayMs ?? 0,
    log: (bare) => ({ ...bare, keyId: 'none', group: undefined, model: undefined, kind: undefined }),
    answer,
  });

  const server: LoopbackServer<Failure> = {
    ...host,
    setOutage(kind, forMs = Number.POSITIVE_INFINITY) {
      outage = kind === undefined ? undefined : { kind, endsAt: clock.now() + forMs };
    },
    failNext(count, kind) {
      for (let index = 0; index < count; index += 1) upcoming.push(kind);
    },
    exhaustDay(group, model) {
      const models = model === undefined ? provider.models : [model];
      const exhausted = models.filter((each) => meterOf(group, each)?.exhaustDay(clock.now()));
      if (exhausted.length === 0) throw new RangeError(`"${group}" has no daily limit to exhaust: give it an rpd`);
    },
    setKeyState(secret, state) {
      const key = keys.get(secret);
      if (!key) throw new RangeError('the server knows no such key');
      key.state = state;
    },
  };
  server.setOutage(description.outage);
  return server;
}

function findRoute(
  routes: readonly Route[],
  request: IncomingRequest,
): { readonly route: Route; readonly match: RegExpExecArray } | undefined {
  for (const route of routes) {
    const match = route.method === request.method ? route.path.exec(request.path) : null;
    if (match) return { route, match };
  }
  return undefined;
}

/** A limit that is claimed to be hit, but was not, still needs numbers to print. */
function withRefusal(kind: string, situation: Situation): Situation {
  if (situation.refusals.length > 0 || !isDimension(kind)) return situation;
  const limit = situation.meter?.window(kind)?.limit ?? 10;
  return { ...situation, refusals: [{ dimension: kind, limit, used: limit, requested: 1, retryInMs: 38_000 }] };
}
