import { expect, test } from 'vitest';
import { classify } from '../../src/faults/classify.ts';
import { readEvidence } from '../../src/faults/evidence.ts';
import { profileFor } from '../../src/faults/profiles.ts';
import { DIALECTS } from '../../src/simulate/dialects/index.ts';
import { SimulatedFailure } from '../../src/simulate/policy.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { START_AT } from './support.ts';

test('an overloaded Binance is read as the provider\'s trouble', async () => {
  const cause = { kind: 'overloaded', id: 'overloaded', trouble: { kind: 'overloaded', fromMs: 0 } } as const;
  const subject = { model: 'm', organization: 'o', meters: [] };
  const { status, headers = {}, body } = DIALECTS.binance.refuse(cause, subject, START_AT);
  const error = new SimulatedFailure(status, headers, body);
  const evidence = await readEvidence({ error }, new ManualClock(START_AT));
  const fault = classify(evidence, { profile: profileFor('binance'), now: START_AT });
  expect(fault).toMatchObject({ scope: 'provider', action: 'breaker' });
});
