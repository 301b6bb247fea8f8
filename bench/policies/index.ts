import type { Policy } from '../../src/simulate/policy.ts';
import { bifrost } from './bifrost.ts';
import { gptLoad } from './gpt-load.ts';
import { litellm } from './litellm.ts';
import { roundRobin } from './round-robin.ts';
import { sdk } from './sdk.ts';

/** What others do, from what they document. */
export const peers: readonly Policy[] = [sdk, roundRobin, bifrost, gptLoad, litellm];
