import { createGuardedFetch, GuardedTraffic } from '../fetch/guarded-fetch.ts';
import { findCredential } from '../fetch/credential.ts';
import { readTarget } from '../fetch/request.ts';
import { ExecutionGuard } from '../guard/execution-guard.ts';
import { placeholder } from '../keys/placeholder.ts';
import { clientSignal, watchClients } from './client.ts';
import { Journal, type RouterLogger } from './journal.ts';
import { isServedBy, stack, type Layer } from './layers.ts';
import { placed, readOptions, type GuardTransformerOptions, type TransformerSettings } from './options.ts';

/**
 * A transformer for claude-code-router that gives providers their API keys. It belongs into `transformers` of the
 * router's config.json, and a provider asks for keys by its `api_key`: `guard:gemini` means the pool that
 * `options.keyManagement.providers` has for `gemini`.
 *
 * The router sends a request once and takes the answer as it comes, so that no hook of a transformer can send it
 * again with another key. Instead this one stands behind `fetch`: requests whose key is such a placeholder go
 * through the guard, and all others go out as they are.
 */
export class ExecutionGuardTransformer {
  readonly name = 'execution-guard';
  readonly guard: ExecutionGuard;
  readonly #journal = new Journal();
  readonly #takeOff: () => void;
  readonly #unwatch: () => void;

  static {
    // Bundlers rename a class that speaks of itself, and the new name would show where it is printed.
    Object.defineProperty(this, 'name', { value: 'ExecutionGuardTransformer' });
  }

  /** @throws ConfigError naming every option that is wrong; the router logs it and goes on without the transformer */
  constructor(options?: GuardTransformerOptions) {
    const settings = readOptions(options, process.env);
    this.guard = guardOf(settings, this.#journal);
    this.#journal.follow(this.guard);
    this.#takeOff = guardGlobalFetch(this.guard, settings);
    this.#unwatch = watchClients();
  }

  /** Set by the router once the transformer is made. */
  set logger(logger: RouterLogger) {
    this.#journal.writeTo(logger);
  }

  /** Puts `fetch` back as it was, and ends what the guard has started. */
  close(): void {
    this.#takeOff();
    this.#unwatch();
    this.guard.close();
  }
}

function guardOf({ config, origin }: TransformerSettings, journal: Journal): ExecutionGuard {
  try {
    return new ExecutionGuard(config, { warn: message => journal.warn(message) });
  } catch (error) {
    throw placed(error, origin);
  }
}

function guardGlobalFetch(
  guard: ExecutionGuard,
  { attemptTimeoutMs, deadlineMs, estimateTokens }: TransformerSettings,
): () => void {
  const base = globalThis.fetch;
  const guarded = createGuardedFetch(guard, { fetch: base, estimateTokens, call: { attemptTimeoutMs, deadlineMs } });
  const traffic = new GuardedTraffic(guard, {});
  const layer: Layer = {
    before: base,
    isOpen: true,
    serves: target => traffic.destinationOf(target)?.noPool === undefined,
  };
  return stack((input, init) => {
    const target = layer.isOpen ? readTarget(input, init) : undefined;
    // A provider that has its own key in the router's configuration keeps it, whatever its host.
    if (!target || placeholder(findCredential(target, '').value) === undefined) return base(input, init);
    if (!layer.serves(target) && isServedBy(base, target)) return base(input, init);
    const signals = [target.signal, clientSignal()].filter(signal => signal !== undefined);
    return guarded(input, { ...init, signal: AbortSignal.any(signals) });
  }, layer);
}
