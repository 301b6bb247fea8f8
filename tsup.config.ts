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
  // For the types: an entry with nothing but a default export says `export =` there. In the code, the shaking of the
  // tree has said so already, and would be undone.
  cjsInterop: true,
  plugins: [
    {
      name: 'interop-of-types-only',
      renderChunk(_, chunk) {
        chunk.exports = [];
      },
    },
  ],
  // opossum requires `events`; an ESM bundle has no `require` of its own.
  banner: ({ format }) =>
    format === 'esm'
      ? { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" }
      : {},
} satisfies Options;
