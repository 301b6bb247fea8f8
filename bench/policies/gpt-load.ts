import { SimulatedFailure, type Policy } from '../../src/simulate/policy.ts';
import type { AskedCall } from '../../src/simulate/traffic.ts';
import { poolsOf } from './pools.ts';
import { untilAnswered } from './until-answered.ts';

const MAX_RETRIES = 3;
const BLACKLIST_THRESHOLD = 3;
/** Looked at every 5 minutes, whether more than 60 are over: those at 60 find that just not so. */
const VALIDATION_INTERVAL_MS = 65 * 60_000;
const VALIDATION_TIMEOUT_MS = 20_000;
/** A prompt of one word. */
const VALIDATION = { tokens: 10, serviceMs: 500 };
const UNCOUNTED = /resource has been exhausted|please reduce the length of the messages/i;

/**
 * gpt-load 1.x with its defaults: the next active key for each attempt, up to three retries without a wait. Whatever
 * fails, except a 404, counts against the key (but two wordings), an answer takes nothing back, and the third failure
 * takes the key out. Every hour a request is made with each key that is out, and those it is answered with are back.
 * Without an active key a call fails before it is tried.
 *
 * https://github.com/tbphp/gpt-load/blob/08bafd849200ff96f21a59a5a4b34f4df89e1ba8/internal/proxy/server.go
 * (`executeRequestWithRetry`), internal/keypool/provider.go and cron_checker.go, internal/errors/uncounted_errors.go;
 * defaults in the README of 1.x. 2.x is another program, with cool-downs.
 *
 * Assumed: what a validation costs and takes. All keys that are out are validated at once, rather than ten at a time.
 */
export const gptLoad: Policy = {
  name: 'gpt-load',

  start(surroundings) {
    const { attempt, clock, scenario } = surroundings;
    const startAt = clock.now();
    const timers = new Set<unknown>();
    const isValid = (provider: string, keyId: string): Promise<boolean> =>
      attempt(validationOf(provider, clock.now()), keyId).then(
        () => true,
        (error: unknown) => {
          if (error instanceof SimulatedFailure) return false;
          throw error;
        },
      );
    const groups = poolsOf(scenario, (keyIds, provider) => {
      const group = new Group(keyIds, () => {
        const untilNextMs = VALIDATION_INTERVAL_MS - ((clock.now() - startAt) % VALIDATION_INTERVAL_MS);
        const timer = clock.setTimeout(() => {
          timers.delete(timer);
          void group.validate(keyId => isValid(provider, keyId));
        }, untilNextMs, true);
        timers.add(timer);
      });
      return group;
    });
    return {
      call(call, process, signal) {
        const group = groups(process, call.provider);
        return untilAnswered(surroundings, call, signal, {
          key: () => group.rotate(),
          afterFailure({ error, status }, keyId, retries) {
            // Handed through, as an answer.
            if (status === 404) return undefined;
            if (!UNCOUNTED.test(JSON.stringify([error]))) group.failed(keyId);
            return retries < MAX_RETRIES ? 0 : undefined;
          },
        });
      },
      close() {
        for (const timer of timers) clock.clearTimeout(timer);
      },
    };
  },
};

class Group {
  private readonly active: string[];
  private readonly invalid = new Set<string>();
  private readonly failures = new Map<string, number>();
  private readonly askValidation: () => void;
  private isAsked = false;

  /** @param askValidation asks for a call of `validate` at the time for it */
  constructor(keyIds: readonly string[], askValidation: () => void) {
    this.active = [...keyIds];
    this.askValidation = askValidation;
  }

  rotate(): string | undefined {
    const keyId = this.active.shift();
    if (keyId !== undefined) this.active.push(keyId);
    return keyId;
  }

  failed(keyId: string): void {
    if (this.invalid.has(keyId)) return;
    const failures = (this.failures.get(keyId) ?? 0) + 1;
    this.failures.set(keyId, failures);
    if (failures < BLACKLIST_THRESHOLD) return;
    this.active.splice(this.active.indexOf(keyId), 1);
    this.invalid.add(keyId);
    this.ask();
  }

  async validate(isValid: (keyId: string) => Promise<boolean>): Promise<void> {
    this.isAsked = false;
    await Promise.all(
      [...this.invalid].map(async keyId => {
        if (!(await isValid(keyId))) return;
        this.invalid.delete(keyId);
        this.failures.delete(keyId);
        this.active.push(keyId);
      }),
    );
    if (this.invalid.size > 0) this.ask();
  }

  private ask(): void {
    if (this.isAsked) return;
    this.isAsked = true;
    this.askValidation();
  }
}

/** No caller's: nobody waits for it, and no session is continued. */
function validationOf(provider: string, now: number): AskedCall {
  return {
    id: -1,
    at: now,
    provider,
    model: undefined,
    session: undefined,
    patienceMs: VALIDATION_TIMEOUT_MS,
    leavesAt: now + VALIDATION_TIMEOUT_MS,
    ...VALIDATION,
  };
}
