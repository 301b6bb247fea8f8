import { Gate } from './gate.ts';

/** Models are named by callers, so their number is bounded; the oldest is forgotten first. */
const MAX_MODELS = 256;

/** One gate per model that was ever refused; a model nobody complained of has none. */
export class ModelGates {
  private readonly gates = new Map<string, Gate>();

  get(model: string): Gate | undefined {
    return this.gates.get(model);
  }

  of(model: string): Gate {
    let gate = this.gates.get(model);
    if (!gate) this.set(model, (gate = new Gate()));
    return gate;
  }

  set(model: string, gate: Gate): void {
    if (this.gates.size >= MAX_MODELS && !this.gates.has(model)) {
      for (const oldest of this.gates.keys()) {
        this.gates.delete(oldest);
        break;
      }
    }
    this.gates.set(model, gate);
  }

  entries(): Iterable<[string, Gate]> {
    return this.gates.entries();
  }
}
