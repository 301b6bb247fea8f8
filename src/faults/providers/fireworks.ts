import { HOUR_MS, lasting } from '../durations.ts';
import type { FaultProfile } from '../fault.ts';
import { xRateLimit } from '../limits.ts';

const ERRORS = 'https://docs.fireworks.ai/guides/inference-error-codes';

export const fireworks: FaultProfile = {
  name: 'fireworks',
  providers: ['*fireworks*'],
  hosts: ['api.fireworks.ai', '.api.fireworks.ai'],
  limits: [xRateLimit('requests'), xRateLimit('tokens-prompt'), xRateLimit('tokens-generated')],
  limitScope: 'group',
  rules: [
    {
      // The account is suspended, mostly for a bill or a spending limit.
      name: 'account-suspended',
      source: ERRORS,
      match: { status: 412 },
      kind: 'billing',
      scope: 'group',
      action: 'cool',
      certainty: 'likely',
      ...lasting(HOUR_MS),
    },
    {
      name: 'payment-required',
      source: ERRORS,
      match: { status: 402 },
      kind: 'billing',
      scope: 'group',
      action: 'cool',
      certainty: 'likely',
      ...lasting(HOUR_MS),
    },
    {
      name: 'model-not-found',
      source: ERRORS,
      match: { status: 404 },
      kind: 'model_unavailable',
      scope: 'key+model',
      action: 'cool',
      certainty: 'likely',
      coolMs: HOUR_MS,
    },
  ],
};
