import type { FaultProfile } from '../fault.ts';

const ERRORS = 'https://docs.cdp.coinbase.com/coinbase-app/docs/api-architecture/errors';

export const coinbase: FaultProfile = {
  name: 'coinbase',
  providers: ['*coinbase*'],
  hosts: ['api.coinbase.com'],
  rules: [
    {
      name: 'invalid-key',
      source: ERRORS,
      match: { status: 401, code: ['invalid_token', 'revoked_token'] },
      kind: 'invalid_key',
      scope: 'key',
      action: 'disable',
    },
  ],
};
