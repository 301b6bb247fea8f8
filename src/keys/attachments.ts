import { LRUCache } from 'lru-cache';
import type { PoolKey } from './key.ts';
import { preferenceOf } from './rendezvous.ts';

/** Subjects and resources are named from outside, so what is remembered of them is bounded. */
const MAX_SUBJECTS = 5000;
const MAX_RESOURCES = 10_000;
/** Keys a subject turns to, one after the other, before any will do. */
const CHOICES = 4;

/** What stays with which key of a pool. */
export class Attachments {
  // They take their memory at once: most pools need neither.
  private preferences: LRUCache<string, readonly PoolKey[]> | undefined;
  private owners: LRUCache<string, PoolKey> | undefined;

  /** The keys a subject prefers, of those that serve the model. */
  preferredBy(subject: string, model: string | undefined, keys: () => Iterable<PoolKey>): readonly PoolKey[] {
    const preferences = (this.preferences ??= new LRUCache({ max: MAX_SUBJECTS }));
    const name = JSON.stringify([subject, model]);
    let preferred = preferences.get(name);
    if (!preferred) {
      preferred = preferenceOf(subject, serving(keys(), model), CHOICES);
      preferences.set(name, preferred);
    }
    return preferred;
  }

  /** The keys of the pool, or what is said of them, have changed. */
  keysChanged(): void {
    this.preferences?.clear();
  }

  /** The resource can be used with this key, and those of its group. */
  bind(resource: string, key: PoolKey): void {
    (this.owners ??= new LRUCache({ max: MAX_RESOURCES })).set(resource, key);
  }

  /** The key has a successor: another secret for the same account. */
  passOn(from: PoolKey, to: PoolKey): void {
    for (const [resource, owner] of this.owners?.entries() ?? []) if (owner === from) this.owners?.set(resource, to);
  }

  ownerOf(resource: string): PoolKey | undefined {
    return this.owners?.get(resource);
  }

  get hasResources(): boolean {
    return this.owners !== undefined;
  }
}

function* serving(keys: Iterable<PoolKey>, model: string | undefined): Generator<PoolKey> {
  for (const key of keys) if (!key.draining && key.servesModel(model)) yield key;
}
