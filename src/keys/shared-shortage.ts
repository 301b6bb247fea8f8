import type { Shortfall } from '../state/store.ts';

/** What the store has said of a key or a group that had no room: it is not asked again before that may have changed. */
export class SharedShortage {
  readonly why: Shortfall;
  /** Epoch ms. */
  readonly at: number;
  private readonly tokens: number;

  /** @param tokens those of the call that found no room */
  constructor(why: Shortfall, at: number, tokens: number) {
    this.why = why;
    this.at = at;
    this.tokens = tokens;
  }

  /** A smaller call may fit where a larger one does not. */
  availableAt({ tokens }: { readonly tokens: number }, now: number): number {
    return this.why === 'tokens' && tokens < this.tokens ? now : Math.max(now, this.at);
  }
}
