import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import path from 'node:path';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import { runScript, usePackedApp } from './packed.ts';


const app = usePackedApp();

const load = {
  'ESM import': { script: 'main.mjs', statement: "const guard = await import('execution-guard');" },
  'CommonJS require': { script: 'main.cjs', statement: "const guard = require('execution-guard');" },
};

describe('the published archive', () => {
  test('holds the build, the licences and the documentation, and nothing else', () => {
    const others = app().files.filter(
      file => !/^dist\/[\w./-]+\.(js|cjs|d\.ts|d\.cts)$|^docs\/[\w./-]+\.md$|^examples\/[\w-]+\.ts$/.test(file),
    );
    expect(others.filter(file => file !== 'README.md').sort()).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'THIRD-PARTY-NOTICES.md',
      'package.json',
    ]);
  });

  test('needs no other package', () => {
    const manifest = readJson(path.join(app().packageDirectory, 'package.json'));
    expect(manifest).toHaveProperty('name', 'execution-guard');
    expect(manifest).not.toHaveProperty('dependencies');
  });

  test('has types that import nothing but each other and Node', () => {
    const foreign = app().files
      // The one part that needs a package of its own says so as an optional peer.
      .filter(file => /\.d\.c?ts$/.test(file) && !/^dist\/redis\./.test(file))
      .flatMap(file => ts.preProcessFile(readFileSync(path.join(app().packageDirectory, file), 'utf8')).importedFiles)
      .map(({ fileName }) => fileName)
      .filter(specifier => !specifier.startsWith('.') && !isBuiltin(specifier));
    expect(foreign).toEqual([]);
  });
});

describe.each(Object.entries(load))('%s', (_, { script, statement }) => {
  test('gives a working guard', () => {
    const call = `guard.guardedExecute(async ({ apiKey }) => 'answer without key: ' + (apiKey === undefined), 'anyone')`;
    const { output } = runScript(app(), script, `${statement}\n${call}.then(answer => console.log(answer));`);
    expect(output).toBe('answer without key: true\n');
  });

  test('starts no timer, keeps no handle and writes no file', () => {
    const { output, places } = runScript(app(), script, `
      ${statement}
      // Requests end by themselves: they are the module loader closing the files it read.
      const left = process.getActiveResourcesInfo().filter(name => !name.includes('Req'));
      console.log(JSON.stringify({ timers: globalThis.timersStarted, left }), typeof guard.guardedExecute);
    `, { preload: countTimers });
    expect(output).toBe('{"timers":0,"left":[]} function\n');
    expect(places.flatMap(place => readdirSync(place))).toEqual([]);
  });

  test('loads nothing but its own files and Node', () => {
    const log = path.join(app().directory, `${script}.loaded`);
    runScript(app(), script, statement, { preload: recordLoads, env: { LOADED: log } });
    const loaded = readFileSync(log, 'utf8').trim().split('\n');
    expect(loaded).toContain('execution-guard');
    const foreign = loaded.filter(
      specifier => !/^(\.|file:.*\/main\.[cm]js$|execution-guard$)/.test(specifier) && !isBuiltin(specifier),
    );
    expect(foreign).toEqual([]);
  });
});

test('ESM and CommonJS copies in one process share the one guard', () => {
  const { output } = runScript(app(), 'both.mjs', `
    import { createRequire } from 'node:module';
    import { executionGuard } from 'execution-guard';
    const required = createRequire(import.meta.url)('execution-guard');
    executionGuard.updateConfig({ retry: { maxRetries: 7 } });
    console.log(required.executionGuard.getConfig().retry.maxRetries);
  `);
  expect(output).toBe('7\n');
});

describe('a TypeScript consumer', () => {
  const consumer = `
    import { ExecutionGuard, executionGuard, guardedExecute, type ExecutionGuardConfig } from 'execution-guard';
    export const config: ExecutionGuardConfig = { retry: { maxRetries: 2 } };
    export const guard: ExecutionGuard = executionGuard;
    export const answer: Promise<number> = guardedExecute(async context => {
      const key: string | undefined = context.apiKey;
      return key === undefined ? 0 : key.length;
    }, 'google-gemini');
    // @ts-expect-error: the answer is what the callback gives.
    export const wrong: Promise<string> = guardedExecute(async () => 1);
    // @ts-expect-error: options are checked.
    export const misspelt: ExecutionGuardConfig = { retry: { maxRetriez: 2 } };
  `;

  test.each([
    ['node16, from ESM and CommonJS', ['consumer.mts', 'consumer.cts'], 'Node16', 'Node16'],
    ['bundler', ['consumer.ts'], 'ESNext', 'Bundler'],
    ['node10', ['consumer.ts'], 'CommonJS', 'Node10'],
  ] as const)('compiles under %s', (_, names, module, resolution) => {
    const files = names.map(name => path.join(app().directory, name));
    for (const file of files) writeFileSync(file, consumer);
    const program = ts.createProgram(files, {
      module: ts.ModuleKind[module],
      moduleResolution: ts.ModuleResolutionKind[resolution],
      target: ts.ScriptTarget.ES2022,
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      typeRoots: [path.resolve(import.meta.dirname, '../../node_modules/@types')],
      types: ['node'],
    });
    // The consumer's files and the package's own declarations; others are not ours to check.
    const checked = program.getSourceFiles().filter(({ fileName }) => fileName.includes(path.basename(app().directory)));
    expect(checked.length).toBeGreaterThan(files.length);
    const problems = [...program.getOptionsDiagnostics(), ...checked.flatMap(file => ts.getPreEmitDiagnostics(program, file))]
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
    expect(problems).toEqual([]);
  });
});

test('every export names files that exist', () => {
  const target = z.union([z.string(), z.record(z.string(), z.record(z.string(), z.string()))]);
  const { exports } = z.object({ exports: z.record(z.string(), target) })
    .parse(readJson(path.join(app().packageDirectory, 'package.json')));
  const files = Object.values(exports)
    .flatMap(entry => typeof entry === 'string' ? [entry] : Object.values(entry).flatMap(each => Object.values(each)));
  expect(files.length).toBeGreaterThan(1);
  expect(files.filter(file => !existsSync(path.join(app().packageDirectory, file)))).toEqual([]);
});

/** Counts timers that are unreferenced, too: those do not show among the active resources. */
const countTimers = `
  import { createHook } from 'node:async_hooks';
  globalThis.timersStarted = 0;
  createHook({ init: (id, type) => { if (type === 'Timeout') globalThis.timersStarted += 1; } }).enable();
`;

/** Notes every specifier asked for, through `import` or `require`, found or not. */
const recordLoads = `
  import { appendFileSync } from 'node:fs';
  import Module, { register } from 'node:module';
  const require = Module.prototype.require;
  Module.prototype.require = function (specifier) {
    appendFileSync(process.env.LOADED, specifier + '\\n');
    return require.call(this, specifier);
  };
  const hooks = \`
    import { appendFileSync } from 'node:fs';
    export function resolve(specifier, context, next) {
      appendFileSync(process.env.LOADED, specifier + '\\\\n');
      return next(specifier, context);
    }
  \`;
  register('data:text/javascript,' + encodeURIComponent(hooks));
`;

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(file, 'utf8'));
}
