import { HOUR_MS } from '../durations.ts';
import type { FaultProfile } from '../fault.ts';
import { xRateLimit } from '../limits.ts';

const TROUBLESHOOTING = 'https://learn.microsoft.com/en-us/azure/ai-foundry/openai/how-to/troubleshooting';
const QUOTAS = 'https://learn.microsoft.com/en-us/azure/ai-foundry/openai/quotas-limits';
const DEPLOYMENTS = 'https://learn.microsoft.com/en-us/azure/ai-foundry/openai/how-to/create-resource';

/** Azure OpenAI. The two keys of a resource share its quota: they belong in one group. */
export const azure: FaultProfile = {
  name: 'azure',
  providers: ['*azure*'],
  hosts: ['.openai.azure.com', '.openai.azure.us', '.cognitiveservices.azure.com', '.services.ai.azure.com'],
  // Before the first requests of a minute are counted, and on some models always, -1 and 0 stand there.
  limits: [
    xRateLimit('requests', { zeroOnlyWith429: true }),
    xRateLimit('tokens', { zeroOnlyWith429: true }),
  ],
  rules: [
    {
      // A good key at the wrong endpoint is answered with the very same words.
      name: 'unauthorized',
      source: TROUBLESHOOTING,
      match: { status: 401 },
      scope: 'key',
      action: 'probation',
    },
    {
      name: 'deployment-not-found',
      source: DEPLOYMENTS,
      match: { code: 'DeploymentNotFound' },
      kind: 'model_unavailable',
      scope: 'key+model',
      action: 'cool',
      coolMs: HOUR_MS,
    },
    {
      name: 'high-demand',
      source: QUOTAS,
      match: { status: 429, message: /\bhigh demand\b/i },
      kind: 'overloaded',
      scope: 'provider',
      action: 'breaker',
      certainty: 'likely',
    },
    {
      name: 'rate-limit',
      source: QUOTAS,
      match: { status: 429 },
      kind: 'rate_limit',
      scope: 'group+model',
      action: 'cool',
      certainty: 'likely',
      coolMs: 10_000,
    },
  ],
};
