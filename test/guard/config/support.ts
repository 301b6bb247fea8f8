import fc from 'fast-check';
import { ConfigError } from '../../../src/guard/errors.ts';

/** The error a configuration is refused with. */
export function errorOf(run: () => unknown): ConfigError {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('The configuration was accepted');
}

/** Keys in the formats of well-known providers, which may end up anywhere, names included. */
export const secretNames = fc.constantFrom(
  'sk-proj-Zq81mXw04TtBvPlanted',
  'AIzaSyD3xPlantedQw81LmTtBv04Zz_planted',
  'gsk_plantedPlantedPlanted',
  '0f3a9c61b7d24e58a1c3f0b96d7e2a45',
  'PlantedKey4PlantedKey5Planted',
);

/** As values, secrets of any format. */
export const secrets = fc.oneof(secretNames, fc.uuid());
