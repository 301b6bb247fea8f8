import type { Scenario } from '../../src/simulate/scenario.ts';
import { withAffinity, withoutAffinity } from './affinity.ts';
import { billingDeadKey, revokedKey, slowKey, suspendedOrganization } from './bad-keys.ts';
import { freeTier, freeTierUntold } from './free-tier.ts';
import { pacificMidnight } from './pacific-midnight.ts';
import { addressLimit, outage, overloaded, threeTimes } from './providers-faults.ts';
import { burst, differentQuotas, leavingClients, models, tokens } from './quotas.ts';
import { fleet, manyKeys, untoldFleet } from './scale.ts';
import { sharedOrganization, sharedProject } from './shared-project.ts';
import { plainFixed, plainSliding, toldSliding } from './unspoken.ts';

export const scenarios: readonly Scenario[] = [
  freeTier,
  freeTierUntold,
  sharedProject,
  sharedOrganization,
  revokedKey,
  billingDeadKey,
  suspendedOrganization,
  addressLimit,
  overloaded,
  outage,
  threeTimes,
  pacificMidnight,
  slowKey,
  differentQuotas,
  burst,
  models,
  tokens,
  leavingClients,
  plainSliding,
  plainFixed,
  toldSliding,
  withoutAffinity,
  withAffinity,
  manyKeys,
  fleet,
  untoldFleet,
];
