import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ON_THE_WAY_MS } from '../../src/state/on-the-way.ts';
import type { ExecutionGuardConfig, KeyConfig, KeyProviderConfig } from '../../src/guard/config/types.ts';
import { ExecutionGuard } from '../../src/guard/execution-guard.ts';
import type { KeyReport } from '../../src/guard/key-report.ts';
import type { ExecuteOptions } from '../../src/guard/options.ts';
import { httpError, ManualClock, settle } from './support.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Four in the morning in Los Angeles. */
const NOON = Date.UTC(2026, 10, 20, 12);

let directory: string;
let dataFile: string;
let clock: ManualClock;
let guards: ExecutionGuard[];

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'guard-state-'));
  dataFile = path.join(directory, 'state', 'keys.json');
  clock = new ManualClock(NOON);
  guards = [];
});

afterEach(() => {
  for (const guard of guards) guard.close();
  rmSync(directory, { recursive: true, force: true });
});

interface Life {
  readonly guard: ExecutionGuard;
  readonly warnings: string[];
  /** The key that answers: the failure is met by the key that is asked for, or by all. */
  readonly call: (failure?: Error, options?: ExecuteOptions) => Promise<string | undefined>;
  readonly key: (id: string) => KeyReport;
}

const keysOf = (...ids: string[]): KeyConfig[] => ids.map(id => ({ id, key: `secret-of-${id}-0123456789` }));

interface LifeOptions extends Partial<KeyProviderConfig> {
  readonly guard?: ExecutionGuardConfig;
  readonly provider?: string;
}

/** One process: a guard with one pool. The next one finds what it has left. */
function life({ guard: config, provider = 'gemini', ...pool }: LifeOptions = {}): Life {
  const warnings: string[] = [];
  const guard = new ExecutionGuard(
    {
      persistence: { enabled: true, dataFile },
      retry: { enabled: false },
      deduplication: { enabled: false },
      ...config,
      keyManagement: { maxWaitMs: 0, providers: { [provider]: { keys: keysOf('a', 'b'), ...pool } } },
    },
    { clock, random: () => 0, env: {}, warn: message => warnings.push(message) },
  );
  guards.push(guard);
  return {
    guard,
    warnings,
    call: (failure, options = {}) =>
      guard
        .execute(
          ({ keyId = 'none' }) => {
            if (failure && (options.keyId ?? keyId) === keyId) throw failure;
            return keyId;
          },
          { providerName: provider, ...options },
        )
        .catch(() => undefined),
    key: id => guard.keys.get(provider, id),
  };
}

/** As if the process had ended in good order. */
function restart(before: Life, options?: LifeOptions): Life {
  before.guard.close();
  return life(options);
}

const files = (): string[] => (existsSync(path.dirname(dataFile)) ? readdirSync(path.dirname(dataFile)).sort() : []);

/** Writing takes the file system's time, not the clock's. */
async function untilWritten(text: string | RegExp): Promise<void> {
  while (!existsSync(dataFile) || !readFileSync(dataFile, 'utf8').match(text)) await settle();
}

const revoked = (): Error =>
  Object.assign(httpError(400), {
    error: { code: 400, message: 'API key not valid', status: 'INVALID_ARGUMENT', details: [{ reason: 'API_KEY_INVALID' }] },
  });

describe('after a restart', () => {
  test('a limit that refusals have told of holds, with what was used of it', async () => {
    const options = { provider: 'acme', keys: keysOf('a') };
    let log: number[] = [];
    const answer = (): string => {
      log = log.filter(at => at + MINUTE_MS > clock.now());
      if (log.length >= 5) throw httpError(429);
      log.push(clock.now());
      return 'fine';
    };
    const ask = async ({ guard }: Life, times: number): Promise<void> => {
      for (let each = 0; each < times; each++) {
        await guard.execute(answer, 'acme').catch(() => undefined);
        await clock.advance(2000);
      }
    };
    const first = life(options);
    await ask(first, 300);
    const [before] = first.key('a').learned;
    expect(before).toMatchObject({ limit: 5, inferredMs: MINUTE_MS });
    const second = restart(first, options);
    expect(second.key('a').learned).toEqual([before]);
  });

  test('a key that was refused stays away', async () => {
    const before = life();
    expect(await before.call(revoked(), { keyId: 'a' })).toBe('b');
    const after = restart(before);
    expect(after.key('a')).toMatchObject({ state: 'disabled', reason: 'disabled: invalid_key' });
    expect(after.key('b').state).toBe('ready');
    expect(await after.call(undefined, { keyId: 'a' })).toBe('b');
    expect(after.warnings).toEqual([]);
  });

  test('a cool-down goes on, and one that has ended meanwhile lets one probe through', async () => {
    const before = life({ keys: keysOf('a') });
    await before.call(httpError(429, { 'retry-after': '600' }));
    const after = restart(before, { keys: keysOf('a') });
    expect(await after.call()).toBeUndefined();
    await clock.advance(600_000);
    const later = restart(after, { keys: keysOf('a') });
    const answers: ((value: string) => void)[] = [];
    const probe = later.guard.execute(() => new Promise<string>(resolve => answers.push(resolve)), 'gemini');
    await settle();
    expect(await later.call()).toBeUndefined();
    answers[0]?.('fine');
    expect(await probe).toBe('fine');
    expect(await later.call()).toBe('a');
  });

  test('the quotas of single models go on where they were', async () => {
    const options = {
      keys: [{ ...keysOf('a')[0]!, limits: { models: { pro: { rpd: 2 }, 'flash*': { rpd: 1 } } }, group: 'team' }],
      groups: { team: { limits: { models: { pro: { rpd: 3 } } } } },
    };
    const before = life(options);
    await before.call(undefined, { model: 'pro' });
    await before.call(undefined, { model: 'flash-lite' });
    const after = restart(before, options);
    expect(after.key('a').quota.models).toMatchObject({ pro: { rpd: { used: 1 } }, 'flash*': { rpd: { used: 1 } } });
    expect(await after.call(undefined, { model: 'flash' })).toBeUndefined();
    expect(await after.call(undefined, { model: 'pro' })).toBe('a');
    expect(await after.call(undefined, { model: 'pro' })).toBeUndefined();
  });

  test('the quota of the day goes on where it was, and is whole again at midnight of the provider', async () => {
    const options = { keys: [{ ...keysOf('a')[0]!, limits: { rpd: 3 } }] };
    let now = life(options);
    for (let i = 0; i < 3; i++) {
      expect(await now.call()).toBe('a');
      await clock.advance(MINUTE_MS);
      now = restart(now, options);
    }
    expect(await now.call()).toBeUndefined();
    clock.set(NOON + 20 * HOUR_MS - 1);
    now = restart(now, options);
    expect(await now.call()).toBeUndefined();
    clock.set(NOON + 20 * HOUR_MS);
    now = restart(now, options);
    expect(await now.call()).toBe('a');
  });

  test('the minute counts, too, for what is left of it', async () => {
    const options = { keys: [{ ...keysOf('a')[0]!, limits: { rpm: 1 } }] };
    const before = life(options);
    await before.call();
    const after = restart(before, options);
    await clock.advance(MINUTE_MS + ON_THE_WAY_MS - 1);
    expect(await after.call()).toBeUndefined();
    await clock.advance(1);
    expect(await after.call()).toBe('a');
  });

  test('limits and groups that answers have told are known', async () => {
    const options = { provider: 'anthropic', keys: keysOf('a', 'b', 'c') };
    const told = (left: number): Response =>
      new Response(null, {
        headers: {
          'anthropic-organization-id': 'acme',
          'anthropic-ratelimit-requests-limit': '50',
          'anthropic-ratelimit-requests-remaining': String(left),
          'anthropic-ratelimit-requests-reset': new Date(NOON + HOUR_MS).toISOString(),
        },
      });
    const before = life(options);
    for (const [keyId, left] of [['a', 1], ['b', 0]] as const) {
      await before.guard.execute(() => told(left), { providerName: 'anthropic', keyId });
    }
    const after = restart(before, options);
    expect(['a', 'b', 'c'].map(id => after.key(id).group)).toEqual(['acme', 'acme', undefined]);
    expect(['a', 'b', 'c'].map(id => after.key(id).state)).toEqual(['exhausted', 'exhausted', 'ready']);
    await clock.advance(HOUR_MS);
    expect(after.key('b').state).toBe('ready');
  });

  test('a figure of more digits than a number holds did not damage the file, and with it all that was known', async () => {
    const before = life({ provider: 'openai' });
    await before.call(httpError(429, { 'retry-after': '600' }), { keyId: 'a' });
    const figure = '9'.repeat(400);
    const headers = { 'x-ratelimit-limit-requests': figure, 'x-ratelimit-remaining-requests': figure, 'ratelimit-policy': `"p";q=${figure}` };
    await before.guard.execute(() => new Response('', { headers: { ...headers, ratelimit: `"p";r=${figure};t=60` } }), 'openai');
    const after = restart(before, { provider: 'openai' });
    expect(after.warnings).toEqual([]);
    expect(after.key('a').state).toBe('cooling');
  });

  test('a key that was coming back for long, while calls waited, did not damage the file', async () => {
    const before = life();
    const [ann] = keysOf('a');
    const pool = { providers: { gemini: { keys: [{ ...ann!, limits: { concurrency: 2 } }] } }, maxWaitMs: MINUTE_MS };
    before.guard.updateConfig({ keyManagement: pool });
    await before.call(httpError(429, { 'retry-after': '1' }));
    for (let call = 0; call < 400; call++) {
      void before.guard.execute(() => new Promise(resolve => void clock.setTimeout(() => resolve('answered'), 100)), 'gemini').catch(() => undefined);
    }
    await clock.advance(4000);
    expect(before.guard.getStats().keys['gemini']?.keys[0]?.requests).toBeGreaterThan(20);
    const after = restart(before);
    expect(after.warnings).toEqual([]);
  });

  test('the use of a declared group is known', async () => {
    const options = {
      keys: keysOf('a', 'b').map(key => ({ ...key, group: 'team' })),
      groups: { team: { limits: { rpd: 2 } } },
    };
    const before = life(options);
    await before.call(undefined, { keyId: 'a' });
    await before.call(undefined, { keyId: 'b' });
    const after = restart(before, options);
    expect(await after.call()).toBeUndefined();
  });

  test('what a person has taken out of use stays out, and what was put back is back', async () => {
    const before = life();
    before.guard.keys.disable('gemini', 'a', 'being looked at');
    before.guard.keys.disable('gemini', 'b');
    const between = restart(before);
    expect(between.key('a')).toMatchObject({ state: 'disabled', reason: 'disabled by hand: before the last start' });
    between.guard.keys.enable('gemini', 'b');
    const after = restart(between);
    expect([after.key('a').state, after.key('b').state]).toEqual(['disabled', 'ready']);
    expect(await after.call(undefined, { keyId: 'a' })).toBe('b');
  });

  test('a provider that has failed is recovering, and its breaker is open for the rest of its time', async () => {
    const options = { guard: { circuitBreaker: { failureThreshold: 2, recoveryTimeMs: 10_000 } } };
    const before = life(options);
    await before.call(httpError(503));
    await before.call(httpError(503));
    const { guard } = restart(before, options);
    expect(guard.isProviderHealthy('gemini')).toBe(false);
    expect(guard.getStats().providers['gemini']).toMatchObject({ failureCount: 2, inRecovery: true });
    expect(guard.getStats().rateLimiting.circuitBreakerState).toBe('OPEN');
    await clock.advance(10_000);
    expect(guard.getStats().rateLimiting.circuitBreakerState).toBe('HALF_OPEN');
  });

  test('failures that have not opened a breaker yet count towards it', async () => {
    const options = { guard: { circuitBreaker: { failureThreshold: 2, recoveryTimeMs: 10_000 } } };
    const before = life(options);
    await before.call(httpError(503));
    const after = restart(before, options);
    await after.call(httpError(503));
    expect(after.guard.getStats().rateLimiting.circuitBreakerState).toBe('OPEN');
  });

  test('a breaker is not opened where breakers are switched off', async () => {
    const before = life({ guard: { circuitBreaker: { failureThreshold: 1 } } });
    await before.call(httpError(503));
    const after = restart(before, { guard: { circuitBreaker: { enabled: false } } });
    expect(after.guard.getStats().rateLimiting.circuitBreakerState).toBe('CLOSED');
    expect(await after.call()).toBeDefined();
  });

  test('records that were cleared stay cleared', async () => {
    const before = life();
    await before.call(httpError(503));
    const between = restart(before);
    between.guard.clearAllRecords();
    const after = restart(between);
    expect(after.guard.isProviderHealthy('gemini')).toBe(true);
  });

  test('a key with another secret starts clean, under whatever id', async () => {
    const before = life();
    await before.call(revoked(), { keyId: 'a' });
    before.guard.keys.disable('gemini', 'b');
    const after = restart(before, { keys: [{ id: 'a', key: 'another-secret-0123456789' }, { id: 'c', key: 'secret-of-b-0123456789' }] });
    expect([after.key('a').state, after.key('c').state]).toEqual(['ready', 'ready']);
  });

  test('a key that was gone is known for a week, and forgotten then', async () => {
    const before = life();
    before.guard.keys.disable('gemini', 'a');
    let without = restart(before, { keys: keysOf('b') });
    await clock.advance(6 * DAY_MS);
    without.guard.keys.disable('gemini', 'b');
    const back = restart(without);
    expect(back.key('a').state).toBe('disabled');
    back.guard.keys.enable('gemini', 'b');
    without = restart(back, { keys: keysOf('b') });
    await clock.advance(8 * DAY_MS);
    without.guard.keys.disable('gemini', 'b');
    expect(restart(without).key('a').state).toBe('ready');
  });

  test('however long it took, what a person has said holds', async () => {
    const before = life();
    before.guard.keys.disable('gemini', 'a');
    before.guard.close();
    await clock.advance(300 * DAY_MS);
    expect(life().key('a').state).toBe('disabled');
  });

  test('keys and pools that come later are met with what is known of them', () => {
    const before = life();
    before.guard.keys.disable('gemini', 'a');
    before.guard.close();
    const late = life({ keys: keysOf('b') });
    late.guard.keys.add('gemini', keysOf('a')[0]);
    expect(late.key('a').state).toBe('disabled');
    late.guard.close();
    const bare = new ExecutionGuard({ persistence: { enabled: true, dataFile } }, { clock, env: {} });
    guards.push(bare);
    bare.updateConfig({ keyManagement: { providers: { gemini: { keys: keysOf('a', 'b') } } } });
    expect(bare.keys.get('gemini', 'a').state).toBe('disabled');
  });

  test('a clock that was set back keeps no key away for longer than it would have been', async () => {
    const options = { keys: [{ ...keysOf('a')[0]!, limits: { rpm: 1 } }] };
    const before = life(options);
    await before.call(httpError(429, { 'retry-after': '300' }));
    before.guard.close();
    clock.set(NOON - 30 * DAY_MS);
    const after = life(options);
    await clock.advance(299_999);
    expect(await after.call()).toBeUndefined();
    await clock.advance(1);
    expect(await after.call()).toBe('a');
  });
});

describe('the file', () => {
  test('is written in the background, a second after the first thing that has changed', async () => {
    const { call } = life();
    await call(revoked(), { keyId: 'a' });
    await clock.advance(999);
    expect(files()).toEqual([]);
    await clock.advance(1);
    await untilWritten('"id":"a"');
    expect(files()).toEqual(['keys.json']);
    expect(clock.pending).toEqual({ foreground: 0, background: 0 });
  });

  test('is written once a second at most, however much happens, and has all of it', async () => {
    const { call } = life({ keys: [{ ...keysOf('a')[0]!, limits: { rpd: 100 } }] });
    let written = 0;
    for (let ms = 0; ms < 3000; ms += 100) {
      await call();
      const { background } = clock.pending;
      expect(background).toBeLessThanOrEqual(1);
      await clock.advance(100);
      if (background === 1 && clock.pending.background === 0) {
        const used = Math.floor(ms / 100) + 1;
        written++;
        await untilWritten(new RegExp(`"rpd":\\[\\d+,${used}\\]`));
        await settle();
      }
    }
    expect(written).toBeGreaterThanOrEqual(2);
    expect(written).toBeLessThanOrEqual(3);
  });

  test('says nothing of keys that are ready, and is not there while there is nothing to say', async () => {
    const { call } = life();
    for (let i = 0; i < 5; i++) await call();
    await clock.advance(10_000);
    expect(clock.pending).toEqual({ foreground: 0, background: 0 });
    guards[0]?.close();
    expect(files()).toEqual([]);
  });

  test('names only the keys there is something to say of, of ten thousand', async () => {
    const ids = Array.from({ length: 10_000 }, (_, index) => `key-${index}`);
    const before = life({ keys: keysOf(...ids) });
    for (const id of ids.slice(0, 100)) await before.call(revoked(), { keyId: id });
    before.guard.close();
    expect(readFileSync(dataFile, 'utf8').split('\n').filter(line => line.includes('"pool"'))).toHaveLength(100);
    expect(statSync(dataFile).size).toBeLessThan(100 * 400);
    const after = life({ keys: keysOf(...ids) });
    expect(after.key('key-99').state).toBe('disabled');
    expect(after.key('key-100').state).toBe('ready');
  });

  test('is for its owner alone, as is the folder that is made for it', () => {
    const { guard } = life();
    guard.keys.disable('gemini', 'a');
    guard.close();
    expect(statSync(dataFile).mode & 0o777).toBe(0o600);
    expect(statSync(path.dirname(dataFile)).mode & 0o777).toBe(0o700);
  });

  test('is not touched again where nothing has changed', () => {
    const { guard } = life();
    guard.keys.disable('gemini', 'a');
    guard.close();
    const before = statSync(dataFile, { bigint: true });
    life().guard.close();
    const after = statSync(dataFile, { bigint: true });
    expect([after.ino, after.mtimeNs]).toEqual([before.ino, before.mtimeNs]);
  });

  test('is at .execution-guard/state.json where it is not said where', () => {
    const cwd = process.cwd();
    process.chdir(directory);
    try {
      const { guard } = life({ guard: { persistence: { enabled: true } } });
      guard.keys.disable('gemini', 'a');
      guard.close();
    } finally {
      process.chdir(cwd);
    }
    expect(existsSync(path.join(directory, '.execution-guard', 'state.json'))).toBe(true);
  });

  test('is swept of what processes have left that died while they wrote', () => {
    mkdirSync(path.dirname(dataFile));
    writeFileSync(`${dataFile}.4711-0a1b2c3d.draft`, '{');
    writeFileSync(`${dataFile}.bak`, 'mine');
    clock.set(statSync(`${dataFile}.bak`).mtimeMs + MINUTE_MS + 1000);
    life();
    expect(files()).toEqual(['keys.json.bak']);
  });
});

describe.each([
  ['empty', ''],
  ['cut short', undefined],
  ['no JSON', 'state: good'],
  ['of another program', '{"name":"some-package","version":"1.0.0"}'],
  ['JSON of another kind', '[1,2,3]'],
  ['of a later version', '{"format":"execution-guard-state","version":2,"savedAt":1,"cells":[]}'],
  ['ours, but wrong', '{"format":"execution-guard-state","version":1,"savedAt":1,"salt":"0123456789abcdef","keys":{},"groups":[],"providers":[]}'],
])('a file that is %s', (_, content) => {
  test('is set aside, which is said once, and the guard starts clean', () => {
    const before = life();
    before.guard.keys.disable('gemini', 'a');
    before.guard.close();
    const text = content ?? readFileSync(dataFile, 'utf8').slice(0, -40);
    writeFileSync(dataFile, text);
    const { guard, warnings, key } = life();
    expect(key('a').state).toBe('ready');
    guard.keys.disable('gemini', 'b');
    guard.close();
    expect(warnings).toEqual([expect.stringContaining('persistence.dataFile')]);
    const [aside] = files().filter(name => name.includes('damaged'));
    expect(aside).toBe('keys.json.damaged-2026-11-20T12-00-00-000Z');
    expect(warnings[0]).toContain(aside);
    expect(readFileSync(path.join(path.dirname(dataFile), aside!), 'utf8')).toBe(text);
    expect(life().key('b').state).toBe('disabled');
  });
});

describe('a file that cannot be read', () => {
  test('is not overwritten, is said once, and fails no call', async () => {
    mkdirSync(dataFile, { recursive: true });
    const { call, guard, warnings } = life();
    expect(await call(revoked(), { keyId: 'a' })).toBe('b');
    expect(await call(undefined, { keyId: 'b' })).toBe('b');
    await clock.advance(120_000);
    guard.close();
    expect(warnings).toEqual([expect.stringMatching(/persistence\.dataFile.*cannot be read \(EISDIR\)/)]);
    expect(files()).toEqual(['keys.json']);
  });

  test('nor where it may not be read', () => {
    const before = life();
    before.guard.keys.disable('gemini', 'a');
    before.guard.close();
    const text = readFileSync(dataFile, 'utf8');
    chmodSync(dataFile, 0);
    // Whoever may do everything reads it all the same.
    const isRoot = process.getuid?.() === 0;
    const { guard, warnings, key } = life();
    expect(key('a').state).toBe(isRoot ? 'disabled' : 'ready');
    guard.close();
    expect(warnings).toHaveLength(isRoot ? 0 : 1);
    chmodSync(dataFile, 0o600);
    expect(readFileSync(dataFile, 'utf8')).toBe(text);
  });
});

describe('a write that fails', () => {
  test('is said once, fails no call, and is tried again', async () => {
    const { call, warnings } = life();
    // In place of the folder there is a file.
    writeFileSync(path.dirname(dataFile), '');
    await call(revoked(), { keyId: 'a' });
    for (let i = 0; i < 3; i++) {
      await clock.advance(30_000);
      while (clock.pending.background === 0) await settle();
      expect(await call(undefined, { keyId: 'b' })).toBe('b');
    }
    expect(warnings).toEqual([expect.stringMatching(/persistence\.dataFile.*cannot be written \((EEXIST|ENOTDIR)\)/)]);
    rmSync(path.dirname(dataFile));
    await clock.advance(30_000);
    await untilWritten('"id":"a"');
    expect(warnings).toHaveLength(1);
  });

  test('because the folder is gone makes a new one', async () => {
    const { guard } = life();
    guard.keys.disable('gemini', 'a');
    await clock.advance(1000);
    await untilWritten('"id":"a"');
    rmSync(path.dirname(dataFile), { recursive: true });
    guard.keys.disable('gemini', 'b');
    guard.close();
    expect(readFileSync(dataFile, 'utf8')).toMatch(/"id":"a"[^]*"id":"b"/);
  });
});

describe('while another process replaces the file', () => {
  test('a write waits for the next second', async () => {
    const { guard, warnings } = life();
    mkdirSync(path.dirname(dataFile));
    writeFileSync(`${dataFile}.lock`, '');
    guard.keys.disable('gemini', 'a');
    await clock.advance(1000);
    while (clock.pending.background === 0) await settle();
    expect(files()).toEqual(['keys.json.lock']);
    rmSync(`${dataFile}.lock`);
    await clock.advance(1000);
    await untilWritten('"id":"a"');
    expect(warnings).toEqual([]);
  });

  test('the last write waits a little, and says where it was in vain', () => {
    const { guard, warnings } = life();
    mkdirSync(path.dirname(dataFile));
    writeFileSync(`${dataFile}.lock`, '');
    guard.keys.disable('gemini', 'a');
    guard.close();
    expect(warnings).toEqual([expect.stringMatching(/persistence\.dataFile.*cannot be written \(in use\)/)]);
    expect(files()).toEqual(['keys.json.lock']);
  });
});

describe('updateConfig', () => {
  test('switches it on: what is in the file and what is known already come together', async () => {
    const before = life();
    before.guard.keys.disable('gemini', 'a');
    before.guard.close();
    const after = life({ guard: { persistence: { enabled: false, dataFile } } });
    await after.call(httpError(429, { 'retry-after': '600' }), { keyId: 'b' });
    expect(await after.call(undefined, { keyId: 'a' })).toBe('a');
    after.guard.updateConfig({ persistence: { enabled: true } });
    expect(after.key('a').state).toBe('disabled');
    expect(after.key('b').state).toBe('cooling');
    await clock.advance(1000);
    await untilWritten('"id":"b"');
  });

  test('switches it off: what has changed is written, and nothing after that', async () => {
    const { guard } = life();
    guard.keys.disable('gemini', 'a');
    guard.updateConfig({ persistence: { enabled: false } });
    const text = readFileSync(dataFile, 'utf8');
    expect(text).toContain('"id":"a"');
    guard.keys.disable('gemini', 'b');
    await clock.advance(5000);
    expect(clock.pending).toEqual({ foreground: 0, background: 0 });
    guard.close();
    expect(readFileSync(dataFile, 'utf8')).toBe(text);
  });

  test('takes another file, and leaves the one before as it was', () => {
    const { guard } = life();
    const other = path.join(directory, 'other.json');
    guard.keys.disable('gemini', 'a');
    guard.updateConfig({ persistence: { dataFile: other } });
    guard.keys.disable('gemini', 'b');
    guard.close();
    expect(readFileSync(dataFile, 'utf8')).not.toContain('"id":"b"');
    expect(readFileSync(other, 'utf8')).toMatch(/"id":"a"[^]*"id":"b"/);
  });

  test('of something else leaves it alone', async () => {
    const { guard, call } = life();
    await call(revoked(), { keyId: 'a' });
    guard.updateConfig({ queue: { concurrency: 3 } });
    expect(files()).toEqual([]);
    await clock.advance(1000);
    await untilWritten('"id":"a"');
  });
});

describe('two guards with one file', () => {
  test('hear of what the other has found out, with what they write, and lose none of it', async () => {
    const [one, two] = [life(), life()];
    one.guard.keys.disable('gemini', 'a');
    await clock.advance(1000);
    await untilWritten('"id":"a"');
    await two.call(httpError(429, { 'retry-after': '600' }), { keyId: 'b' });
    await clock.advance(1000);
    await untilWritten('"id":"b"');
    expect([two.key('a').state, two.key('b').state]).toEqual(['disabled', 'cooling']);
    // What was taken in is not news: one that writes it again does not undo what became of it.
    one.guard.keys.enable('gemini', 'a');
    one.guard.close();
    expect([one.key('a').state, one.key('b').state]).toEqual(['ready', 'cooling']);
    two.guard.close();
    expect(two.key('a').state).toBe('ready');
    const after = life();
    expect([after.key('a').state, after.key('b').state]).toEqual(['ready', 'cooling']);
  });

  test('hear of groups and providers, too', async () => {
    const options = {
      keys: keysOf('a', 'b').map(key => ({ ...key, group: 'team' })),
      groups: { team: { limits: { rpm: 2 } } },
    };
    const [one, two] = [life(options), life(options)];
    await one.call();
    await one.call();
    await one.guard.execute(() => Promise.reject(httpError(503)), 'openai').catch(() => undefined);
    one.guard.close();
    expect([two.key('a').state, two.guard.isProviderHealthy('openai')]).toEqual(['ready', true]);
    two.guard.keys.disable('gemini', 'b');
    await clock.advance(1000);
    await untilWritten('"held":true');
    expect([two.key('a').state, two.guard.isProviderHealthy('openai')]).toEqual(['exhausted', false]);
    await clock.advance(MINUTE_MS);
    two.guard.keys.enable('gemini', 'b');
    two.guard.close();
    expect(readFileSync(dataFile, 'utf8')).toMatch(/"group":"team","seen":\d+,"data":\{\}/);
  });

  test('agree on the larger use of a day', async () => {
    const options = { keys: [{ ...keysOf('a')[0]!, limits: { rpd: 5 } }] };
    const [one, two] = [life(options), life(options)];
    for (let i = 0; i < 4; i++) await one.call();
    await two.call();
    one.guard.close();
    two.guard.close();
    expect(life(options).key('a').quota.rpd?.used).toBe(4);
  });

  test('one that knows other keys does not forget them', () => {
    const [one, two] = [life({ keys: keysOf('a') }), life({ keys: keysOf('b'), provider: 'openai' })];
    one.guard.keys.disable('gemini', 'a');
    two.guard.keys.disable('openai', 'b');
    one.guard.close();
    two.guard.close();
    expect(life({ keys: keysOf('a') }).key('a').state).toBe('disabled');
  });

  test('go on with a file that somebody has put in place of theirs', () => {
    const { guard, key } = life();
    guard.keys.disable('gemini', 'a');
    guard.updateConfig({ persistence: { enabled: false } });
    guard.updateConfig({ persistence: { enabled: true } });
    rmSync(dataFile);
    const other = life();
    other.guard.keys.disable('gemini', 'b');
    other.guard.close();
    guard.close();
    expect([key('a').state, key('b').state]).toEqual(['disabled', 'disabled']);
    const after = life();
    expect([after.key('a').state, after.key('b').state]).toEqual(['disabled', 'disabled']);
  });
});

test('a process that is killed has lost no more than the last second', async () => {
  const before = life();
  before.guard.keys.disable('gemini', 'a');
  await clock.advance(1000);
  await untilWritten('"id":"a"');
  const text = readFileSync(dataFile, 'utf8');
  before.guard.keys.disable('gemini', 'b');
  writeFileSync(path.join(directory, 'copy.json'), text);
  const after = life({ guard: { persistence: { enabled: true, dataFile: path.join(directory, 'copy.json') } } });
  expect([after.key('a').state, after.key('b').state]).toEqual(['disabled', 'ready']);
});

test('twenty guards need no more listeners than one, and none when they are closed', () => {
  const listeners = (): number[] => ['exit', 'SIGTERM', 'SIGINT'].map(event => process.listenerCount(event));
  const before = listeners();
  const many = Array.from({ length: 20 }, () => life());
  expect(listeners()).toEqual(before.map(count => count + 1));
  for (const { guard } of many) guard.close();
  expect(listeners()).toEqual(before);
});
