import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';
import { runScript, usePackedApp } from './packed.ts';


const app = usePackedApp();

const guardedFetch = `
  const guard = new ExecutionGuard({
    keyManagement: { providers: { openai: { keys: [{ id: 'ann', key: 'a-secret-key' }] } } },
  });
  const fetch = createGuardedFetch(guard, {
    fetch: async (url, { headers }) => new Response(headers.get('authorization')),
  });
  const ask = key => fetch('https://api.openai.com/v1/models', { headers: { authorization: 'Bearer ' + key } });
  ask('guard').then(async answer => {
    console.log(await answer.text());
    guard.close();
    console.log((await ask('guard')).status);
  });
`;

describe.each([
  ['ESM', 'fetch.mjs', `import { ExecutionGuard } from 'execution-guard';
    import { createGuardedFetch } from 'execution-guard/fetch';`],
  ['CommonJS', 'fetch.cjs', `const { ExecutionGuard } = require('execution-guard');
    const { createGuardedFetch } = require('execution-guard/fetch');`],
  // What the two copies share is an object, not a class.
  ['a guard of CommonJS in ESM', 'fetch-both.mjs', `import { createRequire } from 'node:module';
    import { createGuardedFetch } from 'execution-guard/fetch';
    const { ExecutionGuard } = createRequire(import.meta.url)('execution-guard');`],
])('%s', (_, script, imports) => {
  test('gives requests a key of the pool, and refuses in HTTP', () => {
    expect(runScript(app(), script, imports + guardedFetch).output).toBe('Bearer a-secret-key\n503\n');
  });
});

test.each(['index.js', 'index.cjs'])('who imports %s alone loads nothing of it', entry => {
  const seen = new Set<string>();
  const follow = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const { fileName } of ts.preProcessFile(readFileSync(file, 'utf8'), true, true).importedFiles) {
      if (fileName.startsWith('.')) follow(path.resolve(path.dirname(file), fileName));
    }
  };
  follow(path.join(app().packageDirectory, 'dist', entry));
  expect([...seen].filter(file => readFileSync(file, 'utf8').includes('createGuardedFetch'))).toEqual([]);
});

describe('a TypeScript consumer', () => {
  const consumer = `
    import { ExecutionGuard } from 'execution-guard';
    import { createGuardedFetch, type GuardedFetchOptions } from 'execution-guard/fetch';
    const options: GuardedFetchOptions = { route: ({ url }) => url.hostname, call: { deadlineMs: 1000 } };
    const guarded: typeof fetch = createGuardedFetch(new ExecutionGuard(), options);
    export const answer: Promise<Response> = guarded('https://api.openai.com/v1/models', { method: 'GET' });
    // @ts-expect-error: a request says its model itself.
    createGuardedFetch(new ExecutionGuard(), { call: { model: 'gpt-4o' } });
  `;

  test.each([
    ['node16', ['fetch-consumer.mts', 'fetch-consumer.cts'], 'Node16', 'Node16', ['lib.es2022.d.ts']],
    ['bundler, with DOM', ['fetch-consumer.ts'], 'ESNext', 'Bundler', ['lib.es2022.d.ts', 'lib.dom.d.ts']],
    ['node10', ['fetch-consumer.ts'], 'CommonJS', 'Node10', ['lib.es2022.d.ts']],
  ] as const)('compiles under %s', (_, names, module, resolution, lib) => {
    const files = names.map(name => path.join(app().directory, name));
    for (const file of files) writeFileSync(file, consumer);
    const program = ts.createProgram(files, {
      module: ts.ModuleKind[module],
      moduleResolution: ts.ModuleResolutionKind[resolution],
      target: ts.ScriptTarget.ES2022,
      lib: [...lib],
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      typeRoots: [path.resolve(import.meta.dirname, '../../node_modules/@types')],
      types: ['node'],
    });
    const checked = program.getSourceFiles().filter(({ fileName }) => fileName.includes(path.basename(app().directory)));
    expect(checked.length).toBeGreaterThan(files.length);
    const found = checked.flatMap(file => ts.getPreEmitDiagnostics(program, file));
    const problems = [...program.getOptionsDiagnostics(), ...found];
    expect(problems.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([]);
  });
});
