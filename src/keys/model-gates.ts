import { Gate } from './gate.ts';
import { makeRoom } from './make-room.ts';

/** Models are named by callers, so their number is bounded; the oldest is forgotten first. */
const MAX_MODELS = 256;

/** One gate per model that was ever refused; a model nobody complained of has none. */
export class ModelGates {
  private readonly gates = new Map<string, Gate>();

  get(model: string): Gate | undefined {
    return this.gates.get(model);
  }

  set(model: string, gate: Gate): Gate {
    if (!this.gates.has(model)) makeRoom(this.gates, MAX_MODELS);
    this.gates.set(model, gate);
    return gate;
  }

  entries(): Iterable<[string, Gate]> {
    return this.gates.entries();
  }
}
