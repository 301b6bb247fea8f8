import { compileGlob } from './glob.ts';

/** Which models a key is used for. */
export type ServesModel = (model: string) => boolean;

interface Candidate {
  readonly pattern: string;
  readonly matches: (model: string) => boolean;
  readonly literalCharacters: number;
  readonly wildcards: number;
}

/**
 * Lists by model, of keys or of limits. A model belongs to the list of its own name, else to that of the most specific pattern that
 * fits it (the most literal characters, then the fewest wildcards, then the first declared), else to none.
 */
export class ModelLists {
  private readonly names: ReadonlySet<string>;
  private readonly candidates: readonly Candidate[];
  /** One test for all the keys of the same lists. */
  private readonly tests = new Map<string, ServesModel>();
  private lastModel: string | undefined;
  private lastList: string | undefined;

  constructor(patterns: readonly string[]) {
    this.names = new Set(patterns.filter(pattern => !pattern.includes('*')));
    // The sort is stable, which settles ties by declaration order.
    this.candidates = patterns.filter(pattern => pattern.includes('*')).map(candidateOf).sort(bySpecificity);
  }

  /** The test of a key that stands in these lists; `undefined` is the list for all other models. */
  testOf(lists: ReadonlySet<string | undefined>): ServesModel {
    const name = JSON.stringify([...lists].map(list => list ?? null).sort());
    let test = this.tests.get(name);
    if (!test) this.tests.set(name, (test = model => lists.has(this.listOf(model))));
    return test;
  }

  /** The pattern of the list that the model belongs to. */
  listOf(model: string): string | undefined {
    // Every key of a pool is asked about one model in turn.
    if (model !== this.lastModel) {
      this.lastList = this.names.has(model) ? model : this.candidates.find(({ matches }) => matches(model))?.pattern;
      this.lastModel = model;
    }
    return this.lastList;
  }
}

function candidateOf(pattern: string): Candidate {
  const wildcards = pattern.match(/\*+/g)?.length ?? 0;
  return { pattern, matches: compileGlob(pattern), literalCharacters: pattern.replaceAll('*', '').length, wildcards };
}

function bySpecificity(a: Candidate, b: Candidate): number {
  return b.literalCharacters - a.literalCharacters || a.wildcards - b.wildcards;
}
