import { describe, expect, test } from 'vitest';
import { statusOf, verdictOf } from '../../src/fetch/stream-error.ts';

const text = (data: unknown): string => (typeof data === 'string' ? data : JSON.stringify(data));
const verdict = (data: unknown, name = '') => verdictOf({ name, data: text(data) });

const chat = (delta: unknown, rest: object = {}) => ({ choices: [{ index: 0, delta, finish_reason: null, ...rest }] });

describe('nothing has come yet with', () => {
  test.each([
    ['a role', chat({ role: 'assistant', content: '' }), ''],
    ['a role and no content', chat({ role: 'assistant', content: null, tool_calls: [] }), ''],
    ['Azure\'s look at the prompt', { choices: [], prompt_filter_results: [{}] }, ''],
    ['the frame of a message', { type: 'message_start', message: {} }, 'message_start'],
    ['a block of text', { type: 'content_block_start', content_block: { type: 'text', text: '' } }, ''],
    ['a block of thoughts', { type: 'content_block_start', content_block: { type: 'thinking', thinking: '' } }, ''],
    ['the frame of a message of Cohere', { type: 'message-start', delta: { message: { content: [] } } }, ''],
    ['its block', { type: 'content-start', delta: { message: { content: { type: 'text', text: '' } } } }, ''],
    ['a ping without data', '', 'ping'],
    ['the frame of a response', { type: 'response.in_progress', response: { error: null } }, 'response.in_progress'],
    ['a frame that only its event names', {}, 'response.queued'],
  ])('%s', (_, data, name) => {
    expect(verdict(data, name)).toBe('nothing');
  });
});

describe('content has come with', () => {
  test.each([
    ['text', chat({ content: 'hi' })],
    ['a tool call', chat({ content: null, tool_calls: [{}] })],
    ['thoughts', chat({ content: '', reasoning: 'hm' })],
    ['an end', chat({}, { finish_reason: 'stop' })],
    ['a choice of another kind', { choices: [{ text: 'hi' }] }],
    ['usage alone', { choices: [], usage: { prompt_tokens: 1 } }],
    ['the block of a tool', { type: 'content_block_start', content_block: { type: 'tool_use', name: 'sum' } }],
    ['a block with text', { type: 'content_block_start', content_block: { type: 'text', text: 'hi' } }],
    ['the end of a message', { type: 'message-end', delta: { finish_reason: 'COMPLETE' } }],
    ['a candidate', { candidates: [{}] }],
    ['the end mark', '[DONE]'],
    ['text that is no JSON', 'hello'],
    ['a number', 7],
  ])('%s', (_, data) => {
    expect(verdict(data)).toBe('content');
  });
});

describe('an error has come with', () => {
  const error = { code: 'slow_down', message: 'sorry' };

  test.each([
    ['OpenAI', { error }, '', { error }],
    ['Anthropic', { type: 'error', error }, 'error', { type: 'error', error }],
    ['Gemini, in a list', [{ error }], '', { error }],
    ['xAI', { code: '429', error: 'slow down' }, '', { code: '429', error: 'slow down' }],
    ['Responses', { type: 'error', ...error }, '', { error: { type: 'error', ...error } }],
    ['Responses, at the end', { type: 'response.failed', response: { error } }, '', { error }],
    ['OpenRouter, in a choice', { choices: [{ error }] }, '', { error }],
    ['OpenRouter, mute', { choices: [{ finish_reason: 'error' }] }, '', { error: { type: 'provider_error' } }],
    ['Mistral', { object: 'error', ...error }, '', { object: 'error', ...error }],
    [
      'Cohere',
      { type: 'message-end', delta: { finish_reason: 'ERROR', error: 'sorry' } },
      'message-end',
      { message: 'sorry' },
    ],
    ['an event of that name', { detail: 'sorry' }, 'error', { error: { detail: 'sorry' } }],
    ['plain text', 'sorry', 'error', { error: { message: 'sorry' } }],
  ])('%s', (_, data, name, body) => {
    expect(verdict(data, name)).toEqual({ error: body });
  });
});

test.each([
  [{ error: { code: 503 } }, 503],
  [{ error: { code: '429' } }, 429],
  [{ error: { code: null, type: 'authentication_error' } }, 401],
  [{ error: { code: 'insufficient_quota', type: 'x' } }, 429],
  [{ error: { status: 404 } }, 404],
  [{ error: { code: 'invalid_request_error', type: 'service_unavailable' } }, 503],
  [{ error: { code: null, type: 'invalid_request_error' } }, 400],
  [{ error: { code: 'SERVICE_UNAVAILABLE', type: 'invalid_request_error' } }, 503],
  [{ object: 'error', type: 'rate_limited', code: '1300' }, 429],
  [{ object: 'error', type: 'internal_server_error', code: '3000', raw_status_code: 503 }, 503],
  [{ message: 'sorry' }, 500],
  [{ error: { code: 200 } }, 500],
  [{ error: { code: 14, status: 'UNAVAILABLE' } }, 500],
  [{ error: 'sorry' }, 500],
  [undefined, 500],
])('the status of %j is %d', (body, status) => {
  expect(statusOf(body)).toBe(status);
});
