import type { BreakerListener, BreakerStore } from '../store.ts';
import { BREAKER, BREAKERS } from './lua.ts';
import type { PoolNames } from './names.ts';
import type { PoolLink } from './pool-link.ts';
import { list, text } from './replies.ts';
import { Script } from './script.ts';

const breakerScript = new Script(BREAKER);
const breakersScript = new Script(BREAKERS);

/** Provider names may come from clients; the oldest is forgotten first. */
const MOST_PROVIDERS = 1000;

/** Which providers are left alone, and until when. */
export class RedisBreakers implements BreakerStore {
  readonly names: PoolNames;
  private readonly link: PoolLink;
  private readonly listener: BreakerListener;
  private readonly providers = new Map<string, string>();
  /** By name in the store, by the clock of this process. */
  private readonly open = new Map<string, number>();

  constructor(names: PoolNames, link: PoolLink, listener: BreakerListener) {
    this.names = names;
    this.link = link;
    this.listener = listener;
  }

  openUntil(provider: string): number {
    const until = this.open.get(this.nameOf(provider)) ?? 0;
    return until > this.link.now() ? until : 0;
  }

  tell(provider: string, openUntil: number): void {
    const name = this.nameOf(provider);
    this.note(name, openUntil);
    const now = this.link.now();
    if (!this.link.isUp) return;
    const forMs = openUntil > 0 ? Math.max(0, Math.round(openUntil - now)) : 0;
    const { channel, gates } = this.names;
    this.link
      .run(breakerScript, [gates], [channel, this.link.processId, name, forMs])
      .catch((error: unknown) => this.link.failed(error, now));
  }

  async load(): Promise<void> {
    const askedAt = this.link.now();
    try {
      const found = list(await this.link.run(breakersScript, [this.names.gates], []));
      for (let i = 0; i + 1 < found.length; i += 2) this.adopt(text(found[i]), Number(found[i + 1]));
    } catch (error) {
      this.link.failed(error, askedAt);
    }
  }

  hear({ provider, forMs, by }: Readonly<Record<string, unknown>>): void {
    if (by !== this.link.processId) this.adopt(text(provider), Number(forMs));
  }

  private adopt(name: string, forMs: number): void {
    const until = forMs > 0 ? this.link.now() + forMs : 0;
    this.note(name, until);
    const provider = this.providers.get(name);
    if (provider !== undefined) this.listener.breakerChanged(provider, until);
  }

  private note(name: string, until: number): void {
    this.open.delete(name);
    if (until > 0) remember(this.open, name, until);
  }

  private nameOf(provider: string): string {
    const name = this.names.member('group', provider);
    if (!this.providers.has(name)) remember(this.providers, name, provider);
    return name;
  }
}

function remember<T>(map: Map<string, T>, name: string, value: T): void {
  for (const oldest of map.keys()) {
    if (map.size < MOST_PROVIDERS) break;
    map.delete(oldest);
  }
  map.set(name, value);
}
