import { describe, expect, test } from 'vitest';
import { readEvidence } from '../../src/faults/evidence.ts';
import { groupHintOf } from '../../src/faults/group-hint.ts';
import { ManualClock } from './manual-clock.ts';
import { json, openaiError } from './sdk-errors.ts';

async function hint(outcome: { value: unknown } | { error: unknown }): Promise<string | undefined> {
  return groupHintOf(await readEvidence(outcome, new ManualClock()));
}

function limited(organization: string): unknown {
  return {
    error: {
      message: `Rate limit reached for gpt-4o in organization ${organization} on tokens per min (TPM): Limit 30000.`,
      type: 'tokens',
      code: 'rate_limit_exceeded',
    },
  };
}

describe('the organization a key belongs to', () => {
  test.each([
    ['anthropic-organization-id', 'a22cf6e6-a940-4fff-8c4c-1580816ac7be'],
  ])('is in the header %s', async (name, id) => {
    expect(await hint({ value: json(429, {}, { [name]: id }) })).toBe(id);
    expect(await hint({ value: new Response('fine', { headers: { [name]: ` ${id} ` } }) })).toBe(id);
    expect(await hint({ error: await openaiError(() => Promise.resolve(json(401, {}, { [name]: id }))) })).toBe(id);
  });

  test.each([
    ['org-uOtiSEwvUnroadaOnJJquBEC', 'org-uOtiSEwvUnroadaOnJJquBEC'],
    ['`org_01kjh7p9n8f1qs6nz2bz77vy6b`', 'org_01kjh7p9n8f1qs6nz2bz77vy6b'],
    ["'org-1'", 'org-1'],
  ])('is in the message: %s', async (written, id) => {
    expect(await hint({ value: json(429, limited(written)) })).toBe(id);
    expect(await hint({ error: await openaiError(() => Promise.resolve(json(429, limited(written)))) })).toBe(id);
  });

  test.each([
    [json(429, {})],
    [json(429, limited('of yours'))],
    [json(429, {}, { 'anthropic-organization-id': '' })],
    [json(429, {}, { 'anthropic-organization-id': 'x'.repeat(129) })],
    [json(429, { error: { message: 'slow' }, id: 'organization org-1' })],
    [new Response(null, { status: 200 })],
    ['organization org-1'],
  ])('is not always said', async (value) => {
    expect(await hint({ value })).toBeUndefined();
  });
});
