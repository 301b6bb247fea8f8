import type { Clock, TimerHandle } from '../clock.ts';
import type { Directory } from '../keys/directory.ts';
import type { PoolKey } from '../keys/key.ts';
import { doubtOf } from '../keys/obstacle.ts';
import { normalizeKeys, type KeyEntry, type NormalizedKey } from '../keys/normalize.ts';
import type { Pool } from '../keys/pool.ts';
import { Redactor } from '../keys/redaction.ts';
import { parseConfig } from './config/parse.ts';
import { ConfigError } from './errors.ts';
import type { Events } from './events.ts';
import { reportKey, reportPool, type KeyReport, type PoolReport } from './key-report.ts';

/** Node's longest timer is not much longer than 24 days. */
const LONGEST_TIMER_MS = 86_400_000;

/** By symbol, so that no secret comes out of a method somebody happens upon; shared by the copies of the package. */
export const BEST_SECRET = Symbol.for('execution-guard.best-secret');

export interface ReplaceOptions {
  /** How long both keys serve, in ms; default 0: the old one only finishes what it has begun. */
  readonly overlapMs?: number | undefined;
  /** The new key's id; derived from a digest where absent. */
  readonly id?: string | undefined;
}

export interface KeyManagerDependencies {
  readonly clock: Clock;
  readonly events: Events;
  readonly warn: (message: string) => void;
}

/**
 * Keys at run time. A pool is named by its pattern, or by any provider name that leads to it. What is
 * changed here lasts until the configuration names the pool's keys again.
 */
export class KeyManager {
  // Private to the engine, not to the compiler: what is printed of a guard would show the keys behind it.
  readonly #directory: Directory;
  readonly #dependencies: KeyManagerDependencies;
  readonly #retirements = new Set<TimerHandle>();

  constructor(directory: Directory, dependencies: KeyManagerDependencies) {
    this.#directory = directory;
    this.#dependencies = dependencies;
  }

  /** Every pool with its keys, masked. */
  list(): PoolReport[] {
    const now = this.#dependencies.clock.now();
    return [...this.#directory.all()].map(pool => reportPool(pool, now));
  }

  /** @throws ConfigError where there is no such pool or key */
  get(pool: string, keyId: string): KeyReport {
    return reportKey(this.poolOf(pool), this.keyOf(pool, keyId), this.#dependencies.clock.now());
  }

  /** The pattern of the pool that a provider's name leads to; undefined where none does. */
  poolFor(provider: string): string | undefined {
    return this.#directory.resolve(provider)?.pattern;
  }

  /** What calls have said belongs to one of the provider's keys; undefined where there was no such call. */
  resourcesOf(provider: string): { has(resource: string): boolean } | undefined {
    return this.#directory.resolve(provider)?.attachments.resources;
  }

  /**
   * The secret that a call would be given now; the pool's first one where no key is ready, undefined where there
   * is none. For a client that takes its key from the environment and cannot wait.
   */
  [BEST_SECRET](provider: string): string | undefined {
    const pool = this.#directory.resolve(provider);
    const demand = { model: undefined, tokens: 0, now: this.#dependencies.clock.now() };
    const [first] = pool?.keys() ?? [];
    return (pool?.peek(demand) ?? first)?.reveal();
  }

  /**
   * Adds a key and returns its id.
   *
   * @throws ConfigError where there is no such pool, or the key is blank or in the pool already
   */
  add(pool: string, key: KeyEntry): string {
    const owner = this.poolOf(pool);
    const settings = this.normalize(owner, key);
    // A key that names its models has them; any other one stands with those for the models nobody is named for.
    if (settings.models) return this.insert(owner, settings);
    return this.insert(owner, { ...settings, servesModel: this.#directory.servesOthers(owner) });
  }

  /** @throws ConfigError where the key is in the pool already */
  private insert(owner: Pool, settings: NormalizedKey): string {
    const isTwin = (known: PoolKey): boolean => known.id === settings.id || known.hasSecret(settings.key);
    const twin = [...owner.keys()].find(known => !known.draining && isTwin(known));
    if (twin) throw notUsable(owner, `is in the pool already, as ${JSON.stringify(twin.id)}`);
    return owner.insert(settings).id;
  }

  /**
   * Takes a key out: nothing new goes to it, what is under way finishes.
   *
   * @throws ConfigError where there is no such pool or key
   */
  remove(pool: string, keyId: string): void {
    this.poolOf(pool).drain(this.keyOf(pool, keyId));
  }

  /**
   * Puts a key back into use that was disabled, by a person or for a refusal.
   *
   * @throws ConfigError where there is no such pool or key
   */
  enable(pool: string, keyId: string): void {
    const owner = this.poolOf(pool);
    const key = this.keyOf(pool, keyId);
    owner.unhold(key);
    if (key.gate.state === 'disabled') owner.reset(key);
  }

  /**
   * Takes a key out of use until {@link enable}; no success and no probe brings it back.
   *
   * @throws ConfigError where there is no such pool or key
   */
  disable(pool: string, keyId: string, reason = 'disabled by hand'): void {
    const key = this.keyOf(pool, keyId);
    // Shown in stats and events, and often what a provider said, which may repeat the key.
    this.poolOf(pool).hold(key, new Redactor([key.reveal()]).text(reason));
  }

  /**
   * Puts a new secret in a key's place, with the same settings, and returns the new key's id. During the
   * overlap both serve; if the new one is refused by then, the old one stays.
   *
   * @throws ConfigError where there is no such pool or key, or the new one is blank or in the pool already
   */
  replace(pool: string, keyId: string, secret: string, { overlapMs = 0, id }: ReplaceOptions = {}): string {
    const owner = this.poolOf(pool);
    const old = this.keyOf(pool, keyId);
    const { clock, events } = this.#dependencies;
    if (!(overlapMs >= 0)) throw new ConfigError([{ path: 'overlapMs', message: `must be 0 or more, got ${overlapMs}` }]);
    const { weight, priority, models, excludeModels, servesModel, group, limits, tier, region, tags } = old.settings;
    const traits = { weight, priority, models, excludeModels, group, limits, tier, region, tags };
    const newId = this.insert(owner, { ...this.normalize(owner, { ...traits, key: secret, id }), servesModel });
    owner.attachments.passOn(old, this.keyOf(pool, newId));
    const retireAt = clock.now() + overlapMs;
    if (events.heard('rotation')) {
      events.emit('rotation', { pool: owner.pattern, oldKeyId: old.id, newKeyId: newId, retireAt });
    }
    if (overlapMs <= 0) {
      owner.drain(old);
      return newId;
    }
    this.retireAt(retireAt, () => this.retire(owner, old, newId));
    return newId;
  }

  /** A timer may be shorter than the overlap: it is set until the time has come. */
  private retireAt(at: number, retire: () => void): void {
    const { clock } = this.#dependencies;
    const delayMs = Math.min(at - clock.now(), LONGEST_TIMER_MS);
    const timer = clock.setTimeout(
      () => {
        this.#retirements.delete(timer);
        if (clock.now() < at) this.retireAt(at, retire);
        else retire();
      },
      delayMs,
      true,
    );
    this.#retirements.add(timer);
  }

  /**
   * Runs the pool's `validate` on the key now. `undefined`: it could not tell, or there is no `validate`.
   *
   * @throws ConfigError where there is no such pool or key
   */
  async test(pool: string, keyId: string): Promise<boolean | undefined> {
    return this.poolOf(pool).validation.run(this.keyOf(pool, keyId));
  }

  /**
   * Ends a key's cool-down, suspicion or disablement, and that of its group and models.
   *
   * @throws ConfigError where there is no such pool or key
   */
  resetCooldown(pool: string, keyId: string): void {
    this.poolOf(pool).reset(this.keyOf(pool, keyId));
  }

  close(): void {
    for (const timer of this.#retirements) this.#dependencies.clock.clearTimeout(timer);
    this.#retirements.clear();
  }

  private retire(pool: Pool, old: PoolKey, newId: string): void {
    if (pool.get(old.id) !== old) return;
    const successor = pool.get(newId);
    const isRefused = successor !== undefined && doubtOf(successor) !== undefined;
    if (!successor || successor.held !== undefined || isRefused) {
      const what = isRefused ? 'is refused' : 'is not in use';
      this.#dependencies.warn(`${where(pool)}: the key that was to replace ${old.id} ${what}; ${old.id} stays`);
      return;
    }
    pool.drain(old);
  }

  private poolOf(name: string): Pool {
    const pool = this.#directory.get(name) ?? this.#directory.resolve(name);
    if (pool) return pool;
    const known = [...this.#directory.all()].map(({ pattern }) => JSON.stringify(pattern)).join(', ');
    // Not repeated: where arguments are mixed up, the name is a key.
    throw new ConfigError([
      { path: 'keyManagement.providers', message: `no pool of that name; there are ${known || 'none'}` },
    ]);
  }

  private keyOf(poolName: string, keyId: string): PoolKey {
    const pool = this.poolOf(poolName);
    const key = pool.get(keyId);
    if (key) return key;
    throw notUsable(pool, `has no key with that id; its ids are listed by keys.list()`);
  }

  private normalize(pool: Pool, entry: KeyEntry): NormalizedKey {
    parseConfig({ keyManagement: { providers: { [pool.pattern]: { keys: [entry] } } } });
    const complaints: string[] = [];
    const [settings] = normalizeKeys({ keys: [entry] }, { pattern: pool.pattern, warn: complaint => complaints.push(complaint) });
    if (!settings) throw notUsable(pool, complaints.join('; '));
    return settings;
  }
}

function where(pool: Pool): string {
  return `keyManagement.providers[${JSON.stringify(pool.pattern)}].keys`;
}

function notUsable(pool: Pool, message: string): ConfigError {
  return new ConfigError([{ path: where(pool), message }]);
}
