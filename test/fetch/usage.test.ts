import { expect, test } from 'vitest';
import { StreamUsage, usageIn } from '../../src/fetch/usage.ts';
import type { Usage } from '../../src/index.ts';

test.each([
  ['OpenAI', { usage: { prompt_tokens: 1, completion_tokens: 2 } }, { inputTokens: 1, outputTokens: 2 }],
  ['OpenAI\'s Responses', { usage: { input_tokens: 1, output_tokens: 2 } }, { inputTokens: 1, outputTokens: 2 }],
  ['an embedding', { usage: { prompt_tokens: 1, total_tokens: 1 } }, { inputTokens: 1 }],
  ['OpenRouter', { usage: { prompt_tokens: 1, cost: 0.1 } }, { inputTokens: 1, cost: 0.1 }],
  [
    'Anthropic',
    { usage: { input_tokens: 1, cache_creation_input_tokens: 2, cache_read_input_tokens: 4, output_tokens: 8 } },
    { inputTokens: 7, outputTokens: 8 },
  ],
  [
    'Gemini',
    {
      usageMetadata: {
        promptTokenCount: 1,
        toolUsePromptTokenCount: 2,
        candidatesTokenCount: 4,
        thoughtsTokenCount: 8,
      },
    },
    { inputTokens: 3, outputTokens: 12 },
  ],
  ['Cohere', { usage: { billed_units: { output_tokens: 2 }, tokens: {} } }, { outputTokens: 2 }],
  ['Bedrock', { usage: { inputTokens: 1, outputTokens: 2 } }, { inputTokens: 1, outputTokens: 2 }],
  ['the end of a response', { response: { usage: { input_tokens: 1 } } }, { inputTokens: 1 }],
  ['Groq\'s stream', { choices: [], x_groq: { usage: { prompt_tokens: 1, completion_tokens: 2 } } },
    { inputTokens: 1, outputTokens: 2 }],
  ['the end of a message', { delta: { usage: { output_tokens: 2 } } }, { outputTokens: 2 }],
  ['nothing of numbers', { usage: { prompt_tokens: 'many' } }, undefined],
  ['nothing at all', { usage: null }, undefined],
  ['no object', 'usage', undefined],
])('%s', (_, answer, usage) => {
  expect(usageIn(answer)).toEqual(usage);
});

test('a stream\'s figures are reported once, the last of each', () => {
  const reports: Usage[] = [];
  const usage = new StreamUsage({ usage: report => reports.push(report), made: () => undefined });
  const hear = (data: string) => usage.hear([{ name: '', data }]);
  hear('{"usage":{"input_tokens":3,"output_tokens":1}}');
  hear('{"usage": {"output_tokens":');
  hear('{"usage":{"output_tokens":5}}');
  expect(reports).toEqual([]);
  usage.end();
  usage.end();
  expect(reports).toEqual([{ inputTokens: 3, outputTokens: 5 }]);
});
