import * as childProcess from 'node:child_process';
import { promisify } from 'node:util';
import * as processModule from 'node:process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { interceptEnvironment } from '../../src/register/environment.ts';

const SET = 'EXECUTION_GUARD_TEST_SET';
const UNSET = 'EXECUTION_GUARD_TEST_UNSET';

const real = process.env;
let restore: () => void = () => undefined;
let answer: string | undefined;

beforeEach(() => {
  answer = 'guard:gemini';
  process.env[SET] = 'its-own';
  restore = interceptEnvironment(new Map([[SET, () => answer], [UNSET, () => answer]]));
});

afterEach(() => {
  restore();
  for (const name of [SET, UNSET]) Reflect.deleteProperty(real, name);
});

describe('an intercepted environment', () => {
  test('answers for its variables, set or not, wherever they are looked for', () => {
    for (const name of [SET, UNSET]) {
      expect(process.env[name]).toBe('guard:gemini');
      expect(name in process.env).toBe(true);
      expect(Object.hasOwn(process.env, name)).toBe(true);
      expect(Object.keys(process.env).filter(each => each === name)).toEqual([name]);
      expect({ ...process.env }[name]).toBe('guard:gemini');
    }
    expect(processModule.env[SET]).toBe('guard:gemini');
    expect(process.env['PATH']).toBe(real['PATH']);
    expect('EXECUTION_GUARD_TEST_OTHER' in process.env).toBe(false);
    expect(Reflect.get(process.env, Symbol.iterator)).toBeUndefined();
  });

  test('asks for each answer anew, and falls back to the real one', () => {
    answer = 'another';
    expect(process.env[SET]).toBe('another');
    answer = undefined;
    expect(process.env[SET]).toBe('its-own');
    expect(UNSET in process.env).toBe(false);
    expect(Object.keys(process.env)).not.toContain(UNSET);
    expect(Object.getOwnPropertyDescriptor(process.env, UNSET)).toBeUndefined();
  });

  test('keeps what the program assigns, as text', () => {
    Reflect.set(process.env, SET, 5);
    process.env[UNSET] = 'assigned';
    Object.defineProperty(process.env, 'EXECUTION_GUARD_TEST_DEFINED', {
      value: 'x', writable: true, enumerable: true, configurable: true,
    });
    expect([process.env[SET], process.env[UNSET], real[SET]]).toEqual(['5', 'assigned', '5']);
    expect(process.env['EXECUTION_GUARD_TEST_DEFINED']).toBe('x');
    Reflect.deleteProperty(process.env, 'EXECUTION_GUARD_TEST_DEFINED');
  });

  test('forgets what the program deletes', () => {
    Reflect.deleteProperty(process.env, SET);
    Reflect.deleteProperty(process.env, UNSET);
    expect([SET in process.env, UNSET in process.env, SET in real]).toEqual([false, false, false]);
  });

  test('is the real one again when it is taken off, for those too who have kept it', () => {
    const kept = process.env;
    restore();
    expect(process.env).toBe(real);
    expect(processModule.env).toBe(real);
    expect([kept[SET], UNSET in kept]).toEqual(['its-own', false]);
  });

  test('is left alone where the program has put its own in place', () => {
    const own = { A: '1' };
    process.env = own;
    restore();
    expect(process.env).toBe(own);
    process.env = real;
  });
});

describe('a child process', () => {
  const { ChildProcess, execFile, spawn } = childProcess;
  const SCRIPT = `process.stdout.write(process.env.${SET} + ' ' + process.env.${UNSET} + ' ' + process.env.EXECUTION_GUARD_TEST_MORE)`;
  const COMMAND = `"${process.execPath}" -e "${SCRIPT}"`;
  const { execPath } = process;
  type Env = NodeJS.ProcessEnv | undefined;

  async function spawned(env: Env): Promise<string> {
    const child = spawn(execPath, ['-e', SCRIPT], { stdio: ['ignore', 'pipe', 'inherit'], env });
    let printed = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
    await new Promise(resolve => child.once('close', resolve));
    return printed;
  }

  test.each<[string, (env: Env) => Promise<string> | string]>([
    ['spawn', spawned],
    ['execFile, promised', async env => (await promisify(execFile)(execPath, ['-e', SCRIPT], { env })).stdout],
    ['exec, promised', async env => (await promisify(childProcess.exec)(COMMAND, { env })).stdout],
    ['spawnSync', env => childProcess.spawnSync(execPath, ['-e', SCRIPT], { env }).stdout.toString()],
    ['execFileSync', env => childProcess.execFileSync(execPath, ['-e', SCRIPT], { encoding: 'utf8', env })],
    ['execSync', env => childProcess.execSync(COMMAND, { env }).toString()],
  ])('has the real values with %s, inherited or copied, and what it is given', async (_, run) => {
    expect(await run(undefined)).toBe('its-own undefined undefined');
    const copy = { ...process.env, EXECUTION_GUARD_TEST_MORE: 'more=\nguard:gemini' };
    expect(await run(copy)).toBe('its-own undefined more=\nguard:gemini');
    expect(await run({ ...copy, [SET]: 'given' })).toBe('given undefined more=\nguard:gemini');
    answer = 'best-key';
    expect(await run({ ...process.env })).toBe('its-own best-key undefined');
  });

  test('has what is not text, and what names nothing, as ever', async () => {
    const script = `process.exit(process.env.${SET} === 'its-own' && process.env.N === '5' ? 0 : 1)`;
    const env = { ...process.env, N: 5 as never };
    expect(childProcess.spawnSync(execPath, ['-e', script], { env }).status).toBe(0);
    const child = new ChildProcess();
    const options = { file: execPath, args: [execPath, '-e', script], stdio: 'ignore', envPairs: ['ODD', `${SET}=${answer}`, 'N=5'] };
    Reflect.apply(Reflect.get(child, 'spawn') as () => void, child, [options]);
    expect(await new Promise(resolve => child.once('exit', resolve))).toBe(0);
  });

  test('is left alone where the platform has no such method', () => {
    restore();
    const spawning: unknown = Reflect.get(ChildProcess.prototype, 'spawn');
    Reflect.set(ChildProcess.prototype, 'spawn', undefined);
    restore = interceptEnvironment(new Map([[SET, () => answer]]));
    restore();
    expect(Reflect.get(ChildProcess.prototype, 'spawn')).toBeUndefined();
    Reflect.set(ChildProcess.prototype, 'spawn', spawning);
  });

  test('has them where no options are given', () => {
    expect(childProcess.execSync(COMMAND).toString()).toBe('its-own undefined undefined');
    expect(childProcess.spawnSync(execPath, ['-e', SCRIPT], undefined).stdout.toString()).toBe('its-own undefined undefined');
  });

  test('is refused as ever where its options are wrong', () => {
    const child = new ChildProcess();
    expect(() => Reflect.apply(Reflect.get(child, 'spawn') as () => void, child, [])).toThrow(TypeError);
    expect(() => childProcess.execSync(undefined as never)).toThrow(TypeError);
  });

  test('is started as it was before when the environment is the real one again', () => {
    const during = [childProcess.spawnSync, Reflect.get(ChildProcess.prototype, 'spawn') as unknown];
    restore();
    const after = [childProcess.spawnSync, Reflect.get(ChildProcess.prototype, 'spawn') as unknown];
    expect(after[0]).not.toBe(during[0]);
    expect(after[1]).not.toBe(during[1]);
    restore = interceptEnvironment(new Map([[SET, () => answer]]));
    const own = (): never => {
      throw new Error('own');
    };
    const { prototype } = ChildProcess;
    Reflect.set(prototype, 'spawn', own);
    restore();
    expect(Reflect.get(prototype, 'spawn')).toBe(own);
    Reflect.set(prototype, 'spawn', after[1]);
  });
});
