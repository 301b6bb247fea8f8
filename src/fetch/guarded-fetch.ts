import { NoKeyError } from '../guard/errors.ts';
import { discard } from '../guard/discard.ts';
import { isFromElsewhere } from '../guard/elsewhere.ts';
import type { ExecutionGuard } from '../guard/execution-guard.ts';
import type { CallContext, ExecuteOptions } from '../guard/options.ts';
import { redactedError } from '../keys/redacted-error.ts';
import { Redactor } from '../keys/redaction.ts';
import { handedOn, received } from './answer.ts';
import { replayable, type ReplayableBody } from './body.ts';
import { placeholder } from '../keys/placeholder.ts';
import { withCredential, type Envelope, type Place } from './credential.ts';
import { checkGuardedFetch } from './check.ts';
import { demandOf } from './model.ts';
import { sendFollowing, sendOnce, type Outgoing } from './redirect.ts';
import { noPoolAnswer, refusalOf } from './refusal.ts';
import { SeenRequest } from './seen-request.ts';
import { readTarget, type Target } from './request.ts';
import { resourcesUsed } from './resources.ts';
import { Router, type Destination, type Route } from './route.ts';

const DEFAULT_MAX_REPLAY_BYTES = 16 * 1024 * 1024;

/** Options that hold for every request; those a request says itself are not among them. */
export type FetchCallOptions = Omit<ExecuteOptions, 'providerName' | 'model' | 'tokens' | 'signal' | 'fallbacks'>;

export interface GuardedFetchOptions {
  /** The provider of all requests. Where absent, each request tells: by `route`, its key, or its host. */
  readonly provider?: string | undefined;
  /** Tells the provider of a request; undefined leaves it to the key and the host. */
  readonly route?: Route | undefined;
  /** What really sends; default: the `fetch` of the platform, as it is when the guarded one is made. */
  readonly fetch?: typeof fetch | undefined;
  /** A streamed body up to this size is kept, so that it can be sent again; default 16 MB. */
  readonly maxReplayBytes?: number | undefined;
  /**
   * Reserves a quarter of the body's length and its `max_tokens` from token limits, until the answer tells the
   * real figure. Default false.
   */
  readonly estimateTokens?: boolean | undefined;
  /** Further options of each call, such as `deadlineMs` or `attemptTimeoutMs`. */
  readonly call?: FetchCallOptions | undefined;
}

/** What stands behind each guarded fetch, so that none is guarded twice by the same guard. */
const origins = new WeakMap<typeof fetch, { readonly guard: ExecutionGuard; readonly base: typeof fetch }>();

/** Under this name the global fetch of the preloader has one that nobody guards, for a guard made by the program. */
export const UNGUARDED = Symbol.for('execution-guard.unguarded');

/** A fetch that may stand for another one. */
export type MarkedFetch = typeof fetch & { readonly [UNGUARDED]?: typeof fetch };

/**
 * A `fetch` whose requests go through `guard`: each attempt has a key of the provider's pool in place of the one
 * it came with. It resolves to the provider's answer; to the last one, with `x-should-retry: false`, where all
 * attempts failed; to a 429 or 503 in JSON where the guard itself refuses, or has no pool for a placeholder. It
 * rejects where fetch would: with the signal's reason, or the network's error.
 *
 * @throws ConfigError where the guard is none, or an option is not what it should be
 */
export function createGuardedFetch(guard: ExecutionGuard, options: GuardedFetchOptions = {}): typeof fetch {
  checkGuardedFetch(guard, options);
  const base = unguarded(options.fetch ?? globalThis.fetch, guard);
  const traffic = new GuardedTraffic(guard, options);
  const guarded: typeof fetch = async (input, init) => {
    const target = readTarget(input, init);
    const destination = target && traffic.destinationOf(target);
    return destination ? traffic.send(base, target, destination) : base(input, init);
  };
  origins.set(guarded, { guard, base });
  return guarded;
}

function unguarded(base: typeof fetch, guard: ExecutionGuard): typeof fetch {
  const origin = origins.get(base);
  if (origin?.guard === guard) return origin.base;
  const { [UNGUARDED]: marked = base }: MarkedFetch = base;
  return marked;
}

/** What a request needs of its guard. */
type GuardSide = Pick<ExecutionGuard, 'execute' | 'keys'>;

/** The requests that are a guard's business, whoever sends them. */
export class GuardedTraffic {
  private readonly guard: GuardSide;
  private readonly options: GuardedFetchOptions;
  private readonly router: Router;

  /** @param execute what runs the attempts, where that is not the guard's own method as it is called */
  constructor(guard: ExecutionGuard, options: GuardedFetchOptions, execute?: ExecutionGuard['execute']) {
    this.guard = execute ? { execute, keys: guard.keys } : guard;
    this.options = options;
    this.router = new Router(guard, options.provider, options.route);
  }

  /** Undefined for a request that is to go out as it is. */
  destinationOf(target: Target): Destination | undefined {
    return this.router.destinationOf(target);
  }

  /** @param base what really sends */
  send(base: typeof fetch, target: Target, destination: Destination): Promise<Response> {
    return new GuardedRequest(this.guard, base, target, destination, this.options).send();
  }
}

/** A body that can be sent once was sent. */
class BodySpent extends Error {}

/** One request, however many attempts it takes. */
class GuardedRequest {
  private readonly guard: GuardSide;
  private readonly base: typeof fetch;
  private readonly target: Target;
  private readonly destination: Destination;
  private readonly options: GuardedFetchOptions;
  private readonly secrets: string[] = [];
  private isKeyInUrl = false;
  /** The guard had no key for it after all: switched off, or its pool taken out while the call waited. */
  private isWithoutKey = false;
  /** How the only attempt ended that a body could be sent in. */
  private only: { readonly response: Response } | { readonly error: unknown } | undefined;

  constructor(
    guard: GuardSide,
    base: typeof fetch,
    target: Target,
    destination: Destination,
    options: GuardedFetchOptions,
  ) {
    this.guard = guard;
    this.base = base;
    this.target = target;
    this.destination = destination;
    this.options = options;
  }

  async send(): Promise<Response> {
    const { signal, url } = this.target;
    signal?.throwIfAborted();
    const { maxReplayBytes = DEFAULT_MAX_REPLAY_BYTES, estimateTokens = false, call } = this.options;
    const { provider, noPool } = this.destination;
    if (noPool !== undefined) return noPoolAnswer(noPool);
    const body = await replayable(this.target.body, maxReplayBytes, signal);
    const { model, tokens } = demandOf(url.pathname, body.content, estimateTokens);
    const resources = this.guard.keys.resourcesOf(provider);
    try {
      const response = await this.guard.execute(
        context => (body.isReplayable ? this.attempt(context, body) : this.onlyAttempt(context, body)),
        {
          // A Response cannot be shared.
          skipDeduplication: true,
          req: new SeenRequest(this.target, body.content),
          ...call,
          providerName: provider,
          uses: resources && resourcesUsed(this.target, body.content, resources),
          model,
          tokens,
          signal,
          // Its address and its body are for this provider.
          fallbacks: [],
        },
      );
      if (this.only && 'response' in this.only) discard(this.only.response);
      return await this.finished(response);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (this.isWithoutKey) return noPoolAnswer('the guard is switched off, or the pool was taken out meanwhile');
      if (!(error instanceof BodySpent) || !this.only) {
        const refusal = refusalOf(error);
        if (refusal) return refusal;
        throw error;
      }
      if ('error' in this.only) throw this.only.error;
      return this.finished(this.only.response);
    }
  }

  private async attempt(context: CallContext, { content, isReplayable }: ReplayableBody): Promise<Response> {
    const { url, headers } = this.envelopeFor(context);
    const init: RequestInit = {
      ...this.target.init,
      signal: context.signal,
      // What fetch takes has no one type that all of its implementations agree on.
      ...(content != null && { body: content as NonNullable<RequestInit['body']> }),
      ...(!isReplayable && { duplex: 'half' }),
    };
    const response = await this.sent({ url, headers, init, request: this.target.request }, context.apiKey, isReplayable);
    if (isFromElsewhere(response)) return response;
    return received(response, { usage: context.reportUsage, made: context.bind }, context.apiKey);
  }

  private async sent(request: Outgoing, secret: string | undefined, isReplayable: boolean): Promise<Response> {
    const { redirect = 'follow' } = request.init;
    try {
      if (secret !== undefined && redirect === 'follow') {
        return await sendFollowing(this.base, request, secret, isReplayable);
      }
      return await sendOnce(this.base, request);
    } catch (error) {
      // Some implementations say in the error where the request went.
      throw this.secrets.length > 0 ? redactedError(error, new Redactor(this.secrets)) : error;
    }
  }

  /** What came of it is kept: where the guard asks for another attempt, that is the answer. */
  private async onlyAttempt(context: CallContext, body: ReplayableBody): Promise<Response> {
    if (this.only) throw new BodySpent();
    try {
      const response = await this.attempt(context, body);
      if (response.status >= 400) this.only = { response: response.clone() };
      return response;
    } catch (error) {
      this.only = { error };
      throw error;
    }
  }

  private envelopeFor({ apiKey, provider }: CallContext): Envelope & { readonly place?: Place } {
    const { credential, profile } = this.destination;
    if (apiKey === undefined) {
      this.isWithoutKey = placeholder(credential.value) !== undefined;
      if (this.isWithoutKey) throw new NoKeyError({ provider });
      return this.target;
    }
    this.secrets.push(apiKey);
    const envelope = withCredential(this.target, credential, apiKey, profile.name);
    if (envelope.place.in === 'query') this.isKeyInUrl = true;
    return envelope;
  }

  private finished(response: Response): Promise<Response> {
    const { isKeyInUrl } = this;
    return handedOn(response, this.secrets, { profile: this.destination.profile, isKeyInUrl });
  }
}
