/** In place of a code, where there is no member. */
export const NONE = '//';

/** The members that a script is given, each of them once, and how its arguments speak of them. */
export class Numbering {
  private readonly codes = new Map<string, string>();

  /** In order. */
  get names(): Iterable<string> {
    return this.codes.keys();
  }

  /** Two digits to the base of 64, as the scripts read them. */
  codeOf(name: string): string {
    const known = this.codes.get(name);
    if (known !== undefined) return known;
    const number = this.codes.size;
    const code = String.fromCharCode(48 + (number >> 6), 48 + (number & 63));
    this.codes.set(name, code);
    return code;
  }
}
