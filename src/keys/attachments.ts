import { LRUCache } from 'lru-cache';
import type { PoolKey } from './key.ts';
import { Rendezvous, seedOf } from './rendezvous.ts';

/** Subjects, models and resources are named from outside, so what is remembered of them is bounded. */
const MAX_SUBJECTS = 5000;
const MAX_MODELS = 16;
const MAX_RESOURCES = 10_000;
/** No provider's name for anything is longer. */
const LONGEST_RESOURCE = 512;
/** Keys a subject turns to, one after the other, before any will do. */
const CHOICES = 4;

/** The keys that serve one model, and what was found about subjects among them. */
interface Field {
  readonly rendezvous: Rendezvous<PoolKey>;
  readonly preferences: LRUCache<number, readonly PoolKey[]>;
}

/** What stays with which key of a pool. */
export class Attachments {
  // They take their memory at once: most pools need neither.
  private fields: LRUCache<string, Field> | undefined;
  private owners: LRUCache<string, PoolKey> | undefined;

  /** The keys a subject prefers, of those that serve the model. */
  preferredBy(subject: string, model: string | undefined, keys: () => Iterable<PoolKey>): readonly PoolKey[] {
    const fields = (this.fields ??= new LRUCache({ max: MAX_MODELS }));
    const name = model ?? '';
    let field = fields.get(name);
    if (!field) {
      field = { rendezvous: new Rendezvous(serving(keys(), model)), preferences: new LRUCache({ max: MAX_SUBJECTS }) };
      fields.set(name, field);
    }
    // The subject itself may be as long as a client likes.
    const seed = seedOf(subject);
    let preferred = field.preferences.get(seed);
    if (!preferred) field.preferences.set(seed, (preferred = field.rendezvous.preferenceOf(seed, CHOICES)));
    return preferred;
  }

  /** The keys of the pool, or what is said of them, have changed. */
  keysChanged(): void {
    this.fields?.clear();
  }

  /** The resource can be used with this key, and those of its group. */
  bind(resource: string, key: PoolKey): void {
    if (resource.length <= LONGEST_RESOURCE) (this.owners ??= new LRUCache({ max: MAX_RESOURCES })).set(resource, key);
  }

  /** The key has a successor: another secret for the same account. */
  passOn(from: PoolKey, to: PoolKey): void {
    for (const [resource, owner] of this.owners?.entries() ?? []) if (owner === from) this.owners?.set(resource, to);
  }

  ownerOf(resource: string): PoolKey | undefined {
    return this.owners?.get(resource);
  }

  get resources(): { has(resource: string): boolean } | undefined {
    return this.owners;
  }
}

function* serving(keys: Iterable<PoolKey>, model: string | undefined): Generator<PoolKey> {
  for (const key of keys) if (!key.draining && key.servesModel(model)) yield key;
}
