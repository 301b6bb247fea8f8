import type { Options } from 'tsup';
import { entries } from './scripts/entries.ts';

// Libraries are devDependencies and so bundled: the import stays fast, and a CommonJS consumer never meets an
// ESM-only dependency.
export default {
  entry: entries(),
  format: ['esm', 'cjs'],
  target: 'node20',
  platform: 'node',
  dts: true,
  clean: true,
  // Entries share their chunks, so that a class imported from two of them is one class.
  splitting: true,
  treeshake: true,
  // opossum requires `events`; an ESM bundle has no `require` of its own.
  banner: ({ format }) =>
    format === 'esm'
      ? { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" }
      : {},
} satisfies Options;
