import { holdsSecret, maskSecret } from './mask.ts';

/**
 * Puts a mask wherever secrets stand: as they are, as in a URL, or in base64, alone or within a longer text. It
 * searches for these secrets and nothing else, so it never takes another text for a key. Too short ones are
 * left alone: they are placeholders, and part of many a word.
 */
export class Redactor {
  private readonly masks = new Map<string, string>();
  private readonly expression: RegExp | undefined;
  private readonly longest: number;

  constructor(secrets: Iterable<string>) {
    for (const secret of secrets) {
      if (!holdsSecret(secret, secret)) continue;
      for (const form of formsOf(secret)) this.masks.set(asBytes(form), asBytes(maskSecret(secret)));
    }
    const forms = [...this.masks.keys()].sort((a, b) => b.length - a.length);
    this.longest = forms[0]?.length ?? 0;
    if (forms.length > 0) this.expression = new RegExp(forms.map(escaped).join('|'), 'g');
  }

  text(text: string): string {
    if (!this.expression) return text;
    const bytes = asBytes(text);
    const masked = this.masked(bytes, bytes.length);
    return masked.rest === bytes ? text : Buffer.from(masked.done + masked.rest, 'latin1').toString();
  }

  /** The same for a body under way, however its chunks are cut; it stays a few bytes behind. */
  stream(): TransformStream<Uint8Array, Uint8Array> {
    let held = '';
    return new TransformStream({
      transform: (chunk: Uint8Array, controller) => {
        const text = held + Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1');
        const { done, rest } = this.masked(text, this.longest - 1);
        held = rest;
        if (done !== '') controller.enqueue(new Uint8Array(Buffer.from(done, 'latin1')));
      },
      flush: controller => {
        if (held !== '') controller.enqueue(new Uint8Array(Buffer.from(held, 'latin1')));
      },
    });
  }

  /** The last `undecided` characters may be the beginning of a secret: they are left for later. */
  private masked(text: string, undecided: number): { done: string; rest: string } {
    let done = '';
    let from = 0;
    for (const { 0: form, index } of this.expression ? text.matchAll(this.expression) : []) {
      done += text.slice(from, index) + this.masks.get(form)!;
      from = index + form.length;
    }
    const end = Math.max(from, text.length - Math.max(0, undecided));
    return { done: done + text.slice(from, end), rest: text.slice(end) };
  }
}

/** Bytes as characters, so that a chunk may end in the middle of a letter. */
function asBytes(text: string): string {
  return Buffer.from(text).toString('latin1');
}

function formsOf(secret: string): Set<string> {
  const inUrl = encodeURIComponent(secret);
  return new Set([
    secret,
    inUrl,
    inUrl.replaceAll(/%[0-9A-F]{2}/g, code => code.toLowerCase()),
    JSON.stringify(secret).slice(1, -1),
    ...inBase64(secret),
  ]);
}

/** In base64 a text looks different at each of three places; what depends on its neighbours is left out. */
function inBase64(secret: string): string[] {
  const alone = Buffer.from(secret).toString('base64');
  const within = [0, 1, 2].map(offset => {
    const encoded = Buffer.from('-'.repeat(offset) + secret).toString('base64');
    const isWhole = (Buffer.byteLength(secret) + offset) % 3 === 0;
    return encoded.slice(offset === 0 ? 0 : 4, isWhole ? undefined : -4);
  });
  return [alone, alone.replace(/=+$/, ''), ...within].flatMap(form => [
    form,
    form.replaceAll('+', '-').replaceAll('/', '_'),
  ]);
}

function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);
}
