import { describe, expect, test } from 'vitest';
import { demandOf } from '../../src/fetch/model.ts';

describe('the model', () => {
  test.each([
    ['Gemini', '/v1beta/models/gemini-2.5-flash:generateContent'],
    ['Vertex', '/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash:streamGenerateContent'],
    ['Azure', '/openai/deployments/gemini-2.5-flash/chat/completions'],
    ['Bedrock', '/model/gemini-2%2E5-flash/converse'],
  ])('is in the address with %s, whatever the body says', (_, path) => {
    expect(demandOf(path, '{"model":"another"}', false).model).toBe('gemini-2.5-flash');
  });

  test('may be written in the address in a way that is no encoding', () => {
    expect(demandOf('/model/50%/converse', undefined, false).model).toBe('50%');
  });

  const form = new FormData();
  form.set('model', 'whisper-1');
  const json = '{"model":"whisper-1"}';
  const padded = new Uint8Array(Buffer.from(`xx${json}xx`));

  test.each([
    ['a string', json],
    ['a Buffer', Buffer.from(json)],
    ['a part of a buffer', padded.subarray(2, -2)],
    ['an ArrayBuffer', new Uint8Array(Buffer.from(json)).buffer],
    ['a form', form],
  ])('is in the body else: %s', (_, body) => {
    expect(demandOf('/v1/models', body, false)).toEqual({ model: 'whisper-1', tokens: 0 });
  });

  test.each([
    ['no body', undefined],
    ['a blob', new Blob([json])],
    ['a number', '{"model":4}'],
    ['an empty name', '{"model":""}'],
    ['a form without it', new FormData()],
  ])('is unknown with %s', (_, body) => {
    expect(demandOf('/v1/chat', body, false).model).toBeUndefined();
  });
});

describe('tokens are estimated', () => {
  test.each([
    ['four characters to the token', '{"input":"12345"}', 5],
    ['and the bound of the answer', '{"max_tokens":100}', 105],
    ['under any of its names', '{"max_output_tokens":100}', 107],
    ['of bytes', Buffer.from('{"max_completion_tokens":100}'), 108],
    ['a bound that is none aside', '{"max_tokens":-1}', 5],
    ['nothing of what cannot be measured', new FormData(), 0],
  ])('%s', (_, body, tokens) => {
    expect(demandOf('/v1/models/x:generateContent', body, true)).toEqual({ model: 'x', tokens });
  });
});
