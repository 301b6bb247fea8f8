import { HOUR_MS, lasting } from '../durations.ts';
import type { FaultProfile } from '../fault.ts';

const ERRORS = 'https://docs.together.ai/docs/error-codes';

export const together: FaultProfile = {
  name: 'together',
  providers: ['*together*'],
  hosts: ['api.together.xyz', 'api.together.ai'],
  rules: [
    {
      // Prompt and max_tokens are longer than the model's context; the key may do what it likes.
      name: 'context-too-long',
      source: ERRORS,
      match: { status: 403 },
      kind: 'request_too_large',
      scope: 'request',
      action: 'fail',
      certainty: 'likely',
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
  ],
};
