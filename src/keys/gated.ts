import { Gate } from './gate.ts';
import { ModelGates } from './model-gates.ts';

/** A gate as it stands, to be looked at. */
export type GateView = Readonly<
  Pick<Gate, 'state' | 'until' | 'since' | 'strikes' | 'reason' | 'lastInLine' | 'probeUntil' | 'availableAt' | 'isProbing'>
>;

/** Stands for every gate that was never closed. */
const OPEN: GateView = Object.freeze(new Gate());

/**
 * What can be closed, as a whole or for one model: a key, a group of keys. A gate is made when it is first closed: most
 * never are, and there may be a hundred thousand keys.
 */
export abstract class Gated {
  /** Where other processes are to hear of its gates: told of each that is made. */
  onGate: ((gate: Gate, model: string | undefined, owner: Gated) => void) | undefined = undefined;
  private own: Gate | undefined = undefined;
  private models: ModelGates | undefined = undefined;

  /** The gate for all models. */
  get gate(): GateView {
    return this.own ?? OPEN;
  }

  /** The gate for one model, beside the one for all. */
  modelGate(model: string): GateView {
    return this.models?.get(model) ?? OPEN;
  }

  /** The gate for one model, or for all, to be closed or opened. */
  gateOf(model: string | undefined): Gate {
    if (model === undefined) return (this.own ??= this.made(new Gate(), undefined));
    const models = (this.models ??= new ModelGates());
    return models.get(model) ?? models.set(model, this.made(new Gate(), model));
  }

  /** The earliest time an attempt may go through; `now` where it may at once. */
  opensAt(model: string | undefined, now: number): number {
    const at = this.own === undefined ? now : this.own.availableAt(now);
    return model === undefined || this.models === undefined ? at : Math.max(at, this.modelGate(model).availableAt(now));
  }

  /** Those an attempt would go through as a probe, added to `others`; undefined where there are none. */
  probedGates(model: string | undefined, others?: Gate[]): Gate[] | undefined {
    let probed = others;
    const ofModel = model === undefined ? undefined : this.models?.get(model);
    if (this.own !== undefined && this.own.state !== 'ready') (probed ??= []).push(this.own);
    if (ofModel !== undefined && ofModel.state !== 'ready') (probed ??= []).push(ofModel);
    return probed;
  }

  /** What was closed there is closed here, for as long; what is closed here already stays so for at least as long. */
  inherit(other: Gated): void {
    if (other.own) this.own = this.made(later(this.own, other.own), undefined);
    for (const [model, gate] of other.models?.entries() ?? []) {
      const models = (this.models ??= new ModelGates());
      models.set(model, this.made(later(models.get(model), gate), model));
    }
  }

  /** See {@link Gate.setBack}. */
  setBack(byMs: number): void {
    for (const gate of this.gates()) gate.setBack(byMs);
  }

  /** False where none was ever closed. */
  get hasGates(): boolean {
    return this.own !== undefined || this.models !== undefined;
  }

  /** Models that are away though the whole may not be. */
  *closedModels(): Generator<readonly [model: string, gate: GateView]> {
    for (const entry of this.models?.entries() ?? []) if (entry[1].state !== 'ready') yield entry;
  }

  /** Those that were ever closed. */
  *gates(): Generator<Gate> {
    for (const [, gate] of this.gatesByModel()) yield gate;
  }

  /** The same; undefined stands for all models. */
  *gatesByModel(): Generator<[model: string | undefined, gate: Gate]> {
    if (this.own) yield [undefined, this.own];
    if (this.models) yield* this.models.entries();
  }

  private made(gate: Gate, model: string | undefined): Gate {
    this.onGate?.(gate, model, this);
    return gate;
  }
}

function later(own: Gate | undefined, other: Gate): Gate {
  return own && own.availableAt(-Infinity) >= other.availableAt(-Infinity) ? own : other;
}
