import { renderFaults } from './faults-reference.ts';
import { renderReference } from './reference.ts';
import { renderTypes } from './types-file.ts';

/** What `npm run generate` writes; a test compares it with what is there. */
export const generatedFiles = [
  { path: new URL('../../src/guard/config/types.ts', import.meta.url), render: renderTypes },
  { path: new URL('../../docs/configuration.md', import.meta.url), render: renderReference },
  { path: new URL('../../docs/faults.md', import.meta.url), render: renderFaults },
];
