import { execFileSync } from 'node:child_process';
import * as processModule from 'node:process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { interceptEnvironment, restoreCarried } from '../../src/register/environment.ts';

const SET = 'EXECUTION_GUARD_TEST_SET';
const UNSET = 'EXECUTION_GUARD_TEST_UNSET';
const CARRIED = 'EXECUTION_GUARD_ENV';

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
  for (const name of [SET, UNSET, CARRIED]) Reflect.deleteProperty(real, name);
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

  test('goes to child processes, with the real values beside it', () => {
    const script = `console.log(process.env.${SET}, process.env.${UNSET}, process.env.${CARRIED})`;
    const printed = execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }).trim();
    const carried = { [SET]: { is: 'guard:gemini', was: 'its-own' }, [UNSET]: { is: 'guard:gemini' } };
    expect(printed).toBe(`guard:gemini guard:gemini ${JSON.stringify(carried)}`);
  });

  test('is the real one again when it is taken off, for those too who have kept it', () => {
    const kept = process.env;
    restore();
    expect(process.env).toBe(real);
    expect(processModule.env).toBe(real);
    expect([kept[SET], UNSET in kept, CARRIED in kept]).toEqual(['its-own', false, false]);
  });

  test('is left alone where the program has put its own in place', () => {
    const own = { A: '1' };
    process.env = own;
    restore();
    expect(process.env).toBe(own);
    process.env = real;
  });
});

describe('what a parent process has carried over', () => {
  function carry(value: string): void {
    restore();
    real[CARRIED] = value;
    restoreCarried();
    expect(CARRIED in real).toBe(false);
  }

  test('is put back, but not over what the child was given', () => {
    restore();
    real[UNSET] = 'guard:gemini';
    carry(JSON.stringify({ [SET]: { is: 'guard:gemini', was: 'real' }, [UNSET]: { is: 'guard:gemini' } }));
    expect([real[SET], UNSET in real]).toEqual(['its-own', false]);
    carry(JSON.stringify({ [SET]: { is: 'its-own', was: 'real' } }));
    expect(real[SET]).toBe('real');
  });

  test.each(['{', '[]', 'null', `{"${SET}":"its-own"}`])('is passed over where it is nothing of the kind: %s', value => {
    carry(value);
    expect(real[SET]).toBe('its-own');
  });

  test('may be nothing', () => {
    restore();
    const before = { ...real };
    restoreCarried();
    expect({ ...real }).toEqual(before);
  });
});
