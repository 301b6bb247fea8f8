import { holdsSecret, maskSecret } from './mask.ts';
import { formsOf, type SecretForm } from './secret-forms.ts';

interface Search {
  readonly source: string;
  readonly expression: RegExp;
  /** In the order of the expression's groups. */
  readonly masks: readonly string[];
}

/**
 * Puts a mask wherever secrets stand: as they are, as in a URL, in JSON or HTML, in hex, or in base64, alone or within
 * a longer text. It searches for these secrets and nothing else, so it never takes another text for a key. Too short
 * ones are left alone: they are placeholders, and part of many a word.
 */
export class Redactor {
  private readonly forms: readonly { readonly form: SecretForm; readonly mask: string }[];
  private readonly longest: number;
  private last: Search | undefined;

  constructor(secrets: Iterable<string>) {
    // One may begin another.
    const kept = [...new Set(secrets)].filter(secret => holdsSecret(secret, secret)).sort((a, b) => b.length - a.length);
    this.forms = kept.flatMap(secret => formsOf(secret).map(form => ({ form, mask: asBytes(maskSecret(secret)) })));
    this.longest = Math.max(0, ...this.forms.map(({ form }) => form.longest));
  }

  text(text: string): string {
    if (this.forms.length === 0) return text;
    const bytes = asBytes(text);
    const { done } = this.masked(bytes, bytes.length);
    return done === bytes ? text : Buffer.from(done, 'latin1').toString();
  }

  /** The same for headers and addresses, and for bytes as characters: an ellipsis is no character of theirs. */
  headerText(text: string): string {
    return this.text(text).replaceAll('…', '...');
  }

  /** The same for a body under way, however its chunks are cut; it stays a few bytes behind. */
  stream(): TransformStream<Uint8Array, Uint8Array> {
    let held = '';
    return new TransformStream({
      transform: (chunk: Uint8Array, controller) => {
        const text = held + Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1');
        // What begins later may be the beginning of a secret, or of a longer form of one.
        const { done, rest } = this.masked(text, text.length - this.longest + 1);
        held = rest;
        if (done !== '') controller.enqueue(new Uint8Array(Buffer.from(done, 'latin1')));
      },
      flush: controller => {
        const { done } = this.masked(held, held.length);
        if (done !== '') controller.enqueue(new Uint8Array(Buffer.from(done, 'latin1')));
      },
    });
  }

  /** What begins at `decided`, or later, is left for later. */
  private masked(text: string, decided: number): { done: string; rest: string } {
    let done = '';
    let from = 0;
    const search = this.searchFor(text);
    for (const match of search ? text.matchAll(search.expression) : []) {
      if (match.index >= decided) break;
      const group = match.indexOf(match[0], 1);
      done += text.slice(from, match.index) + search!.masks[group - 1]!;
      from = match.index + match[0].length;
    }
    const end = Math.max(from, Math.min(text.length, decided));
    return { done: done + text.slice(from, end), rest: text.slice(end) };
  }

  /** Most texts hold no key, and need no expression, whose making costs more than all else. */
  private searchFor(text: string): Search | undefined {
    const found = this.forms.filter(({ form }) => form.traces.some(trace => text.includes(trace)));
    if (found.length === 0) return undefined;
    const source = found.map(({ form }) => `(${form.source()})`).join('|');
    if (this.last?.source !== source) {
      this.last = { source, expression: new RegExp(source, 'g'), masks: found.map(({ mask }) => mask) };
    }
    return this.last;
  }
}

/** Bytes as characters, so that a chunk may end in the middle of a letter. */
function asBytes(text: string): string {
  return Buffer.from(text).toString('latin1');
}
