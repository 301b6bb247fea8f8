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

  const KEY = 'sk-Zm9v+YmFy/aGVs~bG8(1)!*\'=&"<>\\\\x';
  const each = (encode: (character: string) => string): string => KEY.replace(/[^A-Za-z0-9]/g, encode);
  const code = (character: string, base = 16): string => character.charCodeAt(0).toString(base);

  test.each([
    ['as in a form', new URLSearchParams({ KEY }).toString().slice(4)],
    ['as in a URL that was encoded twice', encodeURIComponent(encodeURIComponent(KEY))],
    ['as in a URL, in letters of both kinds', each(character => `%${code(character).replace('f', 'F')}`)],
    ['as in a URL, in parts', KEY.replaceAll('/', '%2F')],
    ['as in JSON with escaped slashes', JSON.stringify(KEY).replaceAll('/', String.raw`\/`)],
    ['as in JSON for HTML', each(character => String.raw`\u00${code(character).toUpperCase()}`)],
    ['as in JSON within JSON', JSON.stringify(JSON.stringify(KEY))],
    ['as in HTML', KEY.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll("'", '&#39;').replaceAll('<', '&lt;')],
    ['as in HTML, by numbers', each(character => `&#x${code(character).toUpperCase()};`)],
    ['as in HTML, by decimal numbers', each(character => `&#0${code(character, 10)};`)],
    ['in hex', Buffer.from(KEY).toString('hex')],
    ['in hex, in capitals', Buffer.from(KEY).toString('hex').toUpperCase()],
    ['in base64 in a URL', encodeURIComponent(Buffer.from(KEY).toString('base64'))],
  ])('%s', (_, form) => {
    expect(new Redactor([KEY]).text(`<${form}> here`)).toMatch(/^<"?(\\")?(sk-)?…"?(\\")?"?> here$/);
  });

  test('however each of its special characters is written', () => {
    const forms = [
      (character: string) => character,
      (character: string) => `%${code(character).padStart(2, '0')}`,
      (character: string) => `%25${code(character).padStart(2, '0').toUpperCase()}`,
      (character: string) => String.raw`\u${code(character).padStart(4, '0')}`,
      (character: string) => `&#${code(character, 10)};`,
    ];
    const secret = fc.string({ minLength: 8, maxLength: 40 }).filter(text => !/\\|\s|^\W/.test(text));
    fc.assert(
      fc.property(secret, fc.array(fc.constantFrom(...forms), { minLength: 40 }), (text, choices) => {
        let next = 0;
        const written = text.replace(/[^A-Za-z0-9]/g, character => choices[next++]!(character));
        expect(new Redactor([text]).text(`(${written})`)).toMatch(/^\([a-zA-Z_.-]*…\)$/);
      }),
    );
  });

  test.each([
    ['backslashes', '\\'.repeat(40) + 'x', '\\'.repeat(20_000)],
    ['percent codes', '%25'.repeat(20) + 'x', '%25'.repeat(20_000)],
    ['entities', '&amp;'.repeat(20) + 'x', '&amp;'.repeat(20_000)],
    ['slashes', '/'.repeat(40) + 'x', '\\/'.repeat(20_000)],
  ])('and a text of nothing but %s does not keep it busy', (_, secret, text) => {
    expect(new Redactor([secret]).text(text)).toBe(text);
  });

  test('each as its own kind', () => {
    const secrets = [fakeOpenAIKey('ann'), OTHER];
    const text = `${secrets.join(' and ')}, ${OTHER}`;
    expect(new Redactor(secrets).text(text)).toBe('sk-proj-… and AIza…, AIza…');
  });

  test('however a body is cut into chunks', () => {
    const redactor = new Redactor([SECRET, OTHER]);
    const telling = fc.constantFrom(SECRET, encodeURIComponent(SECRET), JSON.stringify(SECRET), SECRET.slice(0, 9), '…ü');
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
