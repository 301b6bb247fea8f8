import { NAMELESS } from './learned-quota.ts';
import { makeRoom } from './make-room.ts';
import type { SharedShortage } from './shared-shortage.ts';

/** Models are named by callers; the oldest is asked for again. */
const MOST_MODELS = 256;

/** Where a key or a group had no room: for any call, or for those of single models. */
export class SharedShortages {
  private all: SharedShortage | undefined = undefined;
  private models: Map<string, SharedShortage> | undefined = undefined;

  /** @param model undefined where it is any call that there is no room for */
  note(model: string | undefined, shortage: SharedShortage): void {
    if (model === undefined) {
      this.all = shortage;
      return;
    }
    this.models ??= new Map();
    this.models.delete(model);
    makeRoom(this.models, MOST_MODELS);
    this.models.set(model, shortage);
  }

  availableAt(call: { readonly model: string | undefined; readonly tokens: number }, now: number): number {
    const ofModel = this.models?.get(call.model ?? NAMELESS);
    return Math.max(now, this.all?.availableAt(call, now) ?? now, ofModel?.availableAt(call, now) ?? now);
  }

  /** Those that concern calls of the model; first the one that concerns all. */
  of(model: string | undefined): SharedShortage[] {
    const ofModel = this.models?.get(model ?? NAMELESS);
    if (!this.all) return ofModel ? [ofModel] : [];
    return ofModel ? [this.all, ofModel] : [this.all];
  }

  /** True where only calls of the model are concerned. */
  isOfModel(shortage: SharedShortage): boolean {
    return shortage !== this.all;
  }
}
