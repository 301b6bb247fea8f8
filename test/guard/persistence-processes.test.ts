import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PROCESS_MS, run, start } from '../state/program.ts';

let directory: string;
let dataFile: string;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'guard-processes-'));
  dataFile = path.join(directory, 'state.json');
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** Of the same pool in every process. */
const guard = (keys = 4): string => `
  import { ExecutionGuard } from './src/index.ts';
  const keys = Array.from({ length: ${keys} }, (_, i) => ({ id: 'key-' + i, key: 'secret-of-key-' + i, limits: { rpd: 1e6 } }));
  const guard = new ExecutionGuard({
    persistence: { enabled: true, dataFile: ${JSON.stringify(dataFile)} },
    deduplication: { enabled: false },
    keyManagement: { providers: { openai: { keys } } },
  });
  const refuse = keyId => guard.execute(context => {
    if (context.keyId !== keyId) return 'fine';
    throw Object.assign(new Error('no'), { status: 401, error: { code: 'invalid_api_key', message: 'Incorrect API key provided' } });
  }, { providerName: 'openai', keyId });
  const states = () => guard.keys.list()[0].keys.map(({ id, state }) => id + ' ' + state).join(', ');
`;

const refusedAndIdle = `
  await refuse('key-1');
  setInterval(() => undefined, 60_000);
  console.log('ready');
`;

async function statesOf(keys = 4): Promise<string> {
  return run(`${guard(keys)} console.log(states());`);
}

describe('a process', () => {
  test('does not ask a key again that the one before was refused', async () => {
    await run(`${guard()} await refuse('key-1');`);
    const asked = `
      const asked = new Set();
      for (let i = 0; i < 8; i++) await guard.execute(({ keyId }) => { asked.add(keyId); }, 'openai');
      console.log([...asked].sort().join(' '));
    `;
    expect(await run(guard() + asked)).toBe('key-0 key-2 key-3');
  }, PROCESS_MS);

  test.each(['SIGTERM', 'SIGINT'] as const)('writes on %s, and ends by it as it would have', async signal => {
    const program = start(guard() + refusedAndIdle);
    await program.says('ready');
    program.process.kill(signal);
    expect(await program.end).toEqual({ code: null, signal });
    expect(await statesOf()).toContain('key-1 disabled');
  }, PROCESS_MS);

  test('writes on a signal, and leaves the rest to those who listen, once or always', async () => {
    for (const way of ['once', 'on']) {
      rmSync(dataFile, { force: true });
      const program = start(`
        process.${way}('SIGTERM', () => { console.log('heard'); setImmediate(() => process.exit(7)); });
        ${guard()} ${refusedAndIdle}
      `);
      await program.says('ready');
      program.process.kill('SIGTERM');
      await program.says('heard');
      expect(existsSync(dataFile)).toBe(true);
      expect(await program.end).toEqual({ code: 7, signal: null });
    }
  }, PROCESS_MS);

  test('goes on where somebody else has decided so, and writes on the next signal, too', async () => {
    const program = start(`
      let heard = 0;
      process.on('SIGINT', () => console.log('heard ' + ++heard));
      ${guard()} ${refusedAndIdle}
      process.stdin.once('data', async () => { await refuse('key-2'); console.log('more'); });
    `);
    await program.says('ready');
    program.process.kill('SIGINT');
    await program.says('heard 1');
    program.process.stdin?.write('\n');
    await program.says('more');
    program.process.kill('SIGINT');
    await program.says('heard 2');
    expect(readFileSync(dataFile, 'utf8')).toContain('"id":"key-2"');
    program.process.kill('SIGKILL');
    await program.end;
  }, PROCESS_MS);

  test('writes where it calls process.exit(), and where an error ends it', async () => {
    for (const [ending, code] of [['process.exit(3)', 3], ["throw new Error('a bug')", 1]] as const) {
      rmSync(dataFile, { force: true });
      const program = start(`${guard()} await refuse('key-1'); ${ending};`);
      expect(await program.end).toEqual({ code, signal: null });
      expect(await statesOf()).toContain('key-1 disabled');
    }
  }, PROCESS_MS);

  test('is not kept alive by it', async () => {
    expect(await run(`${guard()} await refuse('key-1'); console.log('done');`)).toBe('done');
  }, PROCESS_MS);

  test('with twenty guards is not warned of listeners', async () => {
    const program = start(`
      ${guard()}
      for (let i = 0; i < 20; i++) {
        const other = new ExecutionGuard({ persistence: { enabled: true, dataFile: ${JSON.stringify(directory)} + '/' + i + '.json' } });
        if (i % 2) other.close();
      }
    `);
    expect(await program.end).toEqual({ code: 0, signal: null });
    expect(program.complaints()).toBe('');
  }, PROCESS_MS);
});

test('killed while it writes, a process leaves a file that is whole', async () => {
  // As large as it takes for a write to be met half way, and written without a pause.
  const program = start(`
    import { FileStore } from './src/state/file-store.ts';
    const store = new FileStore(${JSON.stringify(dataFile)});
    const text = round => JSON.stringify({ round, filling: Array(20_000).fill('x' + round) });
    store.read();
    for (let round = 1; ; round++) {
      if (round % 2) store.replaceSync(text(round));
      else await store.replace(text(round));
      if (round === 20) console.log('busy');
    }
  `);
  await program.says('busy');
  program.process.kill('SIGKILL');
  expect((await program.end).signal).toBe('SIGKILL');
  const { round, filling } = JSON.parse(readFileSync(dataFile, 'utf8')) as { round: number; filling: string[] };
  expect(round).toBeGreaterThanOrEqual(20);
  expect(filling).toEqual(Array(20_000).fill(`x${round}`));
}, PROCESS_MS);

test('a guard whose process is killed leaves a file that the next one reads', async () => {
  const program = start(`
    ${guard(200)}
    await refuse('key-0');
    console.log('ready');
    process.stdin.once('data', async () => {
      for (let i = 1; ; i++) {
        await refuse('key-' + (i % 200));
        guard.updateConfig({ persistence: { enabled: false } });
        guard.updateConfig({ persistence: { enabled: true } });
        if (i === 10) console.log('busy');
      }
    });
  `);
  await program.says('ready');
  program.process.stdin?.write('\n');
  await program.says('busy');
  program.process.kill('SIGKILL');
  await program.end;
  expect(await statesOf(200)).toContain('key-1 disabled');
  expect(readdirSync(directory).filter(name => name.includes('damaged'))).toEqual([]);
}, PROCESS_MS);

test('two processes that write to one file all the time lose nothing of each other', async () => {
  const writer = (first: number): string => `
    ${guard(40)}
    console.log('ready');
    process.stdin.once('data', async () => {
      for (let i = ${first}; i < 40; i += 2) {
        guard.keys.disable('openai', 'key-' + i);
        guard.updateConfig({ persistence: { enabled: false } });
        guard.updateConfig({ persistence: { enabled: true } });
        await new Promise(resolve => setImmediate(resolve));
      }
      process.exit(0);
    });
  `;
  const programs = [start(writer(0)), start(writer(1))];
  await Promise.all(programs.map(({ says }) => says('ready')));
  for (const { process: child } of programs) child.stdin?.write('\n');
  for (const { end, complaints } of programs) {
    expect(await end).toEqual({ code: 0, signal: null });
    expect(complaints()).toBe('');
  }
  const states = (await statesOf(40)).split(', ');
  expect(states.filter(state => state.endsWith('disabled'))).toHaveLength(40);
  expect(readdirSync(directory).filter(name => name.includes('damaged'))).toEqual([]);
}, PROCESS_MS);
