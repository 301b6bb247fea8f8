import { expect, test } from 'vitest';
import { runScript, usePackedApp } from './packed.ts';


const app = usePackedApp();

const made = `
  const transformer = new Transformer({ keyManagement: { providers: { openai: { keys: ['one'] } } } });
  console.log(typeof Transformer, Transformer.name, transformer.name);
`;

test.each([
  // Routers call what they have required with `new`.
  ['CommonJS', 'ccr.cjs', "const Transformer = require(require.resolve('execution-guard/ccr'));"],
  ['ESM', 'ccr.mjs', "import Transformer from 'execution-guard/ccr';"],
])('%s gives the transformer itself', (_, script, load) => {
  expect(runScript(app(), script, load + made).output).toBe(
    'function ExecutionGuardTransformer execution-guard\n',
  );
});
