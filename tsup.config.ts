import { defineConfig } from 'tsup';

export default defineConfig({
  entry: ['src/index.ts'],
  format: ['esm', 'cjs'],
  target: 'node20',
  platform: 'node',
  dts: true,
  clean: true,
  splitting: true,
  treeshake: true,
  sourcemap: true,
  // Bundled, so that the import stays fast and a CommonJS consumer never meets an ESM-only dependency.
  noExternal: ['opossum', 'p-queue', 'eventemitter3', 'p-timeout', 'lru-cache', 'zod'],
  // opossum requires `events`; an ESM bundle has no `require` of its own.
  banner: ({ format }) =>
    format === 'esm'
      ? { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" }
      : {},
});
