import type { Target } from '../fetch/request.ts';

/** By which the ESM and the CommonJS copy of the package know of each other's. */
const LAYER = Symbol.for('execution-guard.ccr');

/** What a transformer has put in the place of the global fetch, on top of what was there. */
export interface Layer {
  readonly before: typeof fetch;
  isOpen: boolean;
  /** True where it has a pool for the request. */
  readonly serves: (target: Target) => boolean;
}

interface LayeredFetch {
  [LAYER]?: Layer;
}

/** Puts `guarded` in the place of the global fetch. Returns the way back, in whatever order they go. */
export function stack(guarded: typeof fetch, layer: Layer): () => void {
  Object.defineProperty(guarded, LAYER, { value: layer });
  globalThis.fetch = guarded;
  return () => {
    layer.isOpen = false;
    // What lies below another one goes when that goes.
    for (let top = layerOf(globalThis.fetch); top && !top.isOpen; top = layerOf(globalThis.fetch)) {
      globalThis.fetch = top.before;
    }
  };
}

/** True where another one, from `top` downwards, has a pool for the request. */
export function isServedBy(top: typeof fetch, target: Target): boolean {
  for (let layer = layerOf(top); layer; layer = layerOf(layer.before)) {
    if (layer.isOpen && layer.serves(target)) return true;
  }
  return false;
}

function layerOf(installed: typeof fetch & LayeredFetch): Layer | undefined {
  return installed[LAYER];
}
