import { describe, expect, test } from 'vitest';
import { runScript, usePackedApp } from './packed.ts';


const app = usePackedApp();

const simulation = `
  const scenario = {
    name: 'two calls for one',
    about: 'One key of one request a minute.',
    startAt: '2026-11-20T12:00:00Z',
    durationMs: 60000,
    providers: {
      openai: {
        dialect: 'openai',
        keys: [{ id: 'ann' }],
        quotas: [{ of: 'key', counts: 'requests', limit: 1, per: 'minute', form: 'sliding' }],
      },
    },
    traffic: [{ shape: 'burst', calls: 2, atMs: 0, overMs: 1000, provider: 'openai', patienceMs: 10000 }],
  };
  // One that gives up by itself, and one that uses the guard's own errors.
  const idle = { name: 'idle', start: () => ({ call: () => Promise.reject(new Refused('never')) }) };
  simulate(scenario, [guardPolicy, idle]).then(({ guard, idle }) => {
    console.log(guard.served, guard.goodput, idle.refused);
  });
`;

describe.each([
  ['ESM', 'simulate.mjs', `import { guardPolicy, Refused, simulate } from 'execution-guard/simulate';`],
  ['CommonJS', 'simulate.cjs', `const { guardPolicy, Refused, simulate } = require('execution-guard/simulate');`],
])('%s', (_, script, imports) => {
  test('runs a simulation', () => {
    expect(runScript(app(), script, imports + simulation).output).toBe('1 1 2\n');
  });
});
