import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Redactor } from '../../src/keys/redaction.ts';
import { fakeGeminiKey, fakeOpenAIKey } from '../support/loopback/index.ts';

const SECRET = 'sk-proj-Abc+/=&"\\0123456789xyz';
const OTHER = fakeGeminiKey('other');

/** What a body becomes, sent in pieces of the given sizes. */
async function streamed(redactor: Redactor, bytes: Uint8Array, sizes: readonly number[]): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let from = 0;
  for (const size of sizes) chunks.push(bytes.subarray(from, (from += size)));
  chunks.push(bytes.subarray(from));
  const parts: Uint8Array[] = [];
  for await (const part of ReadableStream.from(chunks).pipeThrough(redactor.stream())) parts.push(part);
  return Buffer.concat(parts);
}

describe('a secret is masked', () => {
  test.each([
    ['as it is', SECRET],
    ['as in a URL', encodeURIComponent(SECRET)],
    ['as in a URL, in small letters', encodeURIComponent(SECRET).replaceAll(/%../g, code => code.toLowerCase())],
    ['as in JSON', JSON.stringify(SECRET)],
    ['in base64', Buffer.from(SECRET).toString('base64')],
    ['in base64 for URLs', Buffer.from(SECRET).toString('base64url')],
    ['in base64, behind a name', Buffer.from(`u:${SECRET}`).toString('base64')],
    ['in base64, between others', Buffer.from(`user:${SECRET}:more`).toString('base64')],
  ])('%s', (_, form) => {
    const text = new Redactor([OTHER, SECRET]).text(`before ${form} after`);
    expect(text).toMatch(/^before .*sk-proj-….* after$/);
    const core = Buffer.from(SECRET.slice(3, -3)).toString('base64').slice(4, -4);
    for (const trace of [SECRET, encodeURIComponent(SECRET), core]) {
      expect(text).not.toContain(trace);
    }
  });

  test('each as its own kind', () => {
    const secrets = [fakeOpenAIKey('ann'), OTHER];
    const text = `${secrets.join(' and ')}, ${OTHER}`;
    expect(new Redactor(secrets).text(text)).toBe('sk-proj-… and AIza…, AIza…');
  });

  test('however a body is cut into chunks', () => {
    const redactor = new Redactor([SECRET, OTHER]);
    const telling = fc.constantFrom(SECRET, encodeURIComponent(OTHER), SECRET.slice(0, 9), '…ü');
    const piece = fc.oneof(telling, fc.string());
    return fc.assert(
      fc.asyncProperty(fc.array(piece), fc.array(fc.nat(40)), async (pieces, sizes) => {
        const text = pieces.join('');
        const masked = await streamed(redactor, Buffer.from(text), sizes);
        expect(masked.toString()).toBe(redactor.text(text));
        expect(masked.includes(SECRET)).toBe(false);
      }),
    );
  });
});

describe('left as they are', () => {
  test('bytes that are no text', async () => {
    const bytes = Uint8Array.from({ length: 512 }, (_, index) => index % 256);
    expect(await streamed(new Redactor([SECRET]), bytes, [100, 100])).toEqual(Buffer.from(bytes));
  });

  test('secrets too short to be told from words', () => {
    expect(new Redactor(['guard']).text('on guard')).toBe('on guard');
  });

  test('everything, where there is no secret', async () => {
    const redactor = new Redactor([]);
    expect(redactor.text(SECRET)).toBe(SECRET);
    expect((await streamed(redactor, Buffer.from(SECRET), [5])).toString()).toBe(SECRET);
  });
});
