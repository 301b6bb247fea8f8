import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { opened, FLASH } from '../integration/harness.ts';
import type { PackedApp } from '../package/packed.ts';
import {
  fakeGeminiKey,
  fakeOpenAIKey,
  startGemini,
  startOpenAI,
  startScripted,
  type OpenAIServer,
} from '../support/loopback/index.ts';
import { appWithClients, run, type Run } from './app.ts';

const NAMES = ['ann', 'ben', 'cleo'] as const;

let app: PackedApp;

beforeAll(() => {
  app = appWithClients();
});

afterAll(() => {
  app.remove();
});

function openAI(): Promise<OpenAIServer> {
  return startOpenAI({
    organisations: Object.fromEntries(NAMES.map(name => [name, {}])),
    keys: Object.fromEntries(NAMES.map(name => [fakeOpenAIKey(name), { id: name, organisation: name }])),
  }).then(opened);
}

const keys = NAMES.map(id => ({ id, key: fakeOpenAIKey(id) }));

function config(pool: object = {}, rest: object = {}): Record<string, string> {
  const text = JSON.stringify({ keyManagement: { maxWaitMs: 0, providers: { openai: { keys, ...pool } } }, ...rest });
  return { 'execution-guard.config.json': text };
}

/** Runs a program that must end well, and gives what it printed. */
async function output(what: Run): Promise<string[]> {
  const { code, stdout, stderr } = await run(app, what);
  expect({ code, errors: stderr.replaceAll(/^execution-guard: guards .*\n/gm, '') }).toEqual({ code: 0, errors: '' });
  return stdout.trimEnd().split('\n');
}

const chat = `{
  method: 'POST',
  headers: { authorization: 'Bearer guard:openai', 'content-type': 'application/json' },
  body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'hello' }] }),
}`;

describe('an application that knows nothing of the guard', () => {
  test('has the OpenAI SDK answered by a good key, with a key of its own from the environment', async () => {
    const server = await openAI();
    server.setKeyState(fakeOpenAIKey('ann'), 'invalid_key');
    const { code, stdout, stderr } = await run(app, {
      files: config({}, { register: { interceptEnv: true } }),
      env: { OPENAI_BASE_URL: `${server.url}/v1` },
      script: `import OpenAI from 'openai';
        const client = new OpenAI();
        const messages = [{ role: 'user', content: 'hello' }];
        const answer = await client.chat.completions.create({ model: 'gpt-4o', messages });
        console.log(answer.choices[0].message.content);
        let text = '';
        const stream = await client.chat.completions.create({ model: 'gpt-4o', messages, stream: true });
        for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
        console.log(text);`,
    });
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'You said: hello\nYou said: hello\n' });
    expect(stderr).toBe('execution-guard: guards openai (3 keys); config execution-guard.config.json\n');
    expect(server.requests.map(({ keyId }) => keyId)).toEqual(['ann', 'ben', 'cleo']);
  });

  test('is guarded in a worker made of a string too, by --require', async () => {
    const server = await openAI();
    const code = `const { parentPort } = require('node:worker_threads');
      fetch('${server.url}/v1/models', { headers: { authorization: 'Bearer guard:openai' } })
        .then(({ status }) => parentPort.postMessage(status));`;
    const script = `import { Worker } from 'node:worker_threads';
      new Worker(${JSON.stringify(code)}, { eval: true }).on('message', console.log);`;
    const preload = ['--require', 'execution-guard/register'];
    expect(await output({ files: config(), preload, script })).toEqual(['200']);
  });

  test('keeps undici\'s own dispatcher, with its interceptors, and the ones it sets', async () => {
    const server = await openAI();
    const script = (first: string): string => `${first}
      const { EnvHttpProxyAgent, getGlobalDispatcher, interceptors, request, setGlobalDispatcher } = await import('undici');
      const url = '${server.url}/v1/models';
      const ask = async (key, dispatcher) => {
        try {
          const { statusCode, body } = await request(url, { headers: { authorization: 'Bearer ' + key }, dispatcher });
          await body.dump();
          return statusCode;
        } catch (error) {
          return error.message;
        }
      };
      const dispatcher = getGlobalDispatcher().compose(interceptors.redirect({ maxRedirections: 3 }));
      console.log(await ask('guard:openai', dispatcher), await ask('mine', dispatcher));
      setGlobalDispatcher(new EnvHttpProxyAgent());
      console.log(await ask('guard:openai'), await ask('mine'));
      process.exit();`;
    const run = { files: config(), env: { NODE_NO_WARNINGS: '1' } };
    expect(await output({ ...run, script: script('') })).toEqual(['200 401', '200 401']);
    // What Node has built in takes no interceptors of undici 7, with the guard as without.
    const older = process.versions.undici?.startsWith('6.') ? 'invalid onError method invalid onError method' : '200 401';
    expect(await output({ ...run, script: script("await fetch('data:,');") })).toEqual([older, '200 401']);
  });

  test.each([
    ['GEMINI_API_KEY', 'true'],
    ['GOOGLE_API_KEY', '{ GOOGLE_API_KEY: guard:gemini }'],
  ])('has Google\'s SDK read a placeholder from %s', async (_, interceptEnv) => {
    const server = opened(
      await startGemini({
        projects: { ann: {}, ben: {} },
        keys: Object.fromEntries(['ann', 'ben'].map(name => [fakeGeminiKey(name), { id: name, project: name }])),
      }),
    );
    server.setKeyState(fakeGeminiKey('ann'), 'invalid_key');
    const { code, stdout, stderr } = await run(app, {
      files: {
        'execution-guard.config.yaml': `
          register: { interceptEnv: ${interceptEnv} }
          keyManagement:
            providers:
              '*gemini*':
                keys: { env: GEMINI_API_KEY } # and its siblings`,
      },
      env: {
        GEMINI_API_KEY_1: fakeGeminiKey('ann'),
        GEMINI_API_KEY_2: fakeGeminiKey('ben'),
        GOOGLE_GEMINI_BASE_URL: server.url,
      },
      script: `import { GoogleGenAI } from '@google/genai';
        const answer = await new GoogleGenAI({}).models.generateContent({ model: '${FLASH}', contents: 'hello' });
        console.log(answer.text);`,
    });
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: 'You said: hello\n',
      stderr: 'execution-guard: guards *gemini* (2 keys); config execution-guard.config.yaml\n',
    });
    expect(server.requests.map(({ keyId }) => keyId)).toEqual(['ann', 'ben']);
  });

  test.each([
    ['undici.request', `import { request } from 'undici';
      const { statusCode, body } = await request(url, ${chat});
      console.log(statusCode, (await body.json()).choices[0].message.content);`],
    ['undici.fetch', `import { fetch } from 'undici';
      const answer = await fetch(url, ${chat});
      console.log(answer.status, (await answer.json()).choices[0].message.content);`],
    ['undici.stream', `import { stream } from 'undici';
      import { Writable } from 'node:stream';
      let text = '';
      await stream(url, ${chat}, ({ statusCode }) => {
        process.stdout.write(statusCode + ' ');
        return new Writable({ write: (chunk, _, done) => { text += chunk; done(); } });
      });
      console.log(JSON.parse(text).choices[0].message.content);`],
    ['a dispatcher with interceptors', `import { getGlobalDispatcher, interceptors, request } from 'undici';
      const dispatcher = getGlobalDispatcher().compose(interceptors.dump({ maxSize: 1e6 }), interceptors.redirect());
      const { statusCode, body } = await request(url, { ...${chat}, dispatcher });
      await body.dump();
      console.log(statusCode, 'You said: hello');`],
    ['fetch', `const answer = await fetch(url, ${chat});
      console.log(answer.status, (await answer.json()).choices[0].message.content);`],
  ])('has %s fail over to the next key inside the same call, and spends one request on each', async (_, send) => {
    const server = await openAI();
    server.setKeyState(fakeOpenAIKey('ann'), 'invalid_key');
    const printed = await output({
      files: config(),
      script: `const url = '${server.url}/v1/chat/completions';
        ${send}
        import { executionGuard } from 'execution-guard';
        for (const key of executionGuard.getStats().keys.openai.keys) {
          console.log(key.id, key.state, key.requests, key.inFlight);
        }`,
    });
    expect(printed).toEqual(['200 You said: hello', 'ann disabled 1 0', 'ben ready 1 0', 'cleo ready 0 0']);
    expect(server.requests.map(({ keyId }) => keyId)).toEqual(['ann', 'ben']);
  });

  test('gives the key back when a stream through undici is abandoned', async () => {
    const server = await openAI();
    server.setOutage('stall');
    const printed = await output({
      files: config(),
      script: `import { fetch as undiciFetch, request } from 'undici';
        import { executionGuard } from 'execution-guard';
        const url = '${server.url}/v1/chat/completions';
        const init = ${chat};
        init.body = JSON.stringify({ ...JSON.parse(init.body), stream: true });
        const inFlight = () => executionGuard.getStats().keys.openai.keys.map(key => key.inFlight).join();
        const released = async () => { while (inFlight() !== '0,0,0') await new Promise(setImmediate); };

        for (const send of [fetch, undiciFetch]) {
          const controller = new AbortController();
          const { body } = await send(url, { ...init, signal: controller.signal });
          const reader = body.getReader();
          await reader.read();
          console.log(inFlight());
          controller.abort();
          console.log(await reader.read().catch(error => error.name));
          await released();
        }
        const { body } = await request(url, init);
        for await (const chunk of body) break;
        await released();
        console.log(inFlight());`,
    });
    expect(printed).toEqual(['1,0,0', 'AbortError', '0,1,0', 'AbortError', '0,0,0']);
    await server.idle();
    expect(server.requests.map(({ aborted }) => aborted)).toEqual([true, true, true]);
  });

  test('is not guarded where it talks to hosts that no pool is for', async () => {
    const server = opened(await startScripted([{ body: 'hello', headers: { 'set-cookie': 'a=1' } }], { repeatLast: true }));
    const printed = await output({
      files: config(),
      script: `import { request } from 'undici';
        const { headers, body } = await request('${server.url}', { headers: { authorization: 'Bearer its-own' } });
        console.log(await body.text(), headers['set-cookie']);`,
    });
    expect(printed).toEqual(['hello a=1']);
    expect(server.requests[0]?.headers.authorization).toBe('Bearer its-own');
  });

  test('takes no second key for a request inside guardedExecute that carries the first', async () => {
    const server = await openAI();
    const printed = await output({
      files: config({ keys: [{ ...keys[0], limits: { concurrency: 1 } }] }),
      script: `import { executionGuard, guardedExecute } from 'execution-guard';
        import { request } from 'undici';
        const url = '${server.url}/v1/chat/completions';
        for (const send of [fetch, request]) {
          const status = await guardedExecute(async ({ apiKey, provider }) => {
            const init = ${chat};
            const answer = await send(url, { ...init, headers: { ...init.headers, authorization: 'Bearer ' + apiKey } });
            return answer.status ?? answer.statusCode;
          }, 'openai');
          console.log(status);
        }
        console.log(executionGuard.getStats().keys.openai.keys[0].requests);`,
    });
    expect(printed).toEqual(['200', '200', '2']);
  });
});

describe('a process without a pool', () => {
  const unchanged = `
    const same = globalThis.before;
    console.log(same.fetch === fetch, same.env === process.env, same.dispatcher === globalThis[same.place]);
    console.log(Symbol.for('execution-guard') in globalThis);`;
  const capture = `data:text/javascript,${encodeURIComponent(`
    const place = Symbol.for('undici.globalDispatcher.1');
    globalThis.before = { fetch, env: process.env, place, dispatcher: globalThis[place] };`)}`;

  test.each([
    ['a file without pools', { 'execution-guard.config.json': '{ "retry": { "maxRetries": 1 } }' }],
    ['an empty file', { 'execution-guard.config.yml': '' }],
    ['key management that is off', { 'execution-guard.config.yml': `
      register: { interceptEnv: true }
      keyManagement: { enabled: false, providers: { openai: { keys: [a-key] } } }` }],
  ])('is left alone altogether: %s', async (_, files) => {
    const preload = ['--import', capture, '--import', 'execution-guard/register'];
    const { code, stdout, stderr } = await run(app, { files, preload, script: unchanged });
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'true true true\nfalse\n', stderr: '' });
  });
});

describe('without any configuration file', () => {
  const none = (cwd: RegExp | string): string => `^execution-guard: no configuration found in ${String(cwd)} \\(execution-guard\\.config\\.json, \\.yaml, \\.yml, \\.mjs\\); guards nothing`;

  test('the preloader says that it guards nothing, once, and the program runs untouched', async () => {
    const script = `import { Worker } from 'node:worker_threads';
      new Worker('', { eval: true });
      console.log(Symbol.for('execution-guard') in globalThis, Object.getOwnPropertyDescriptor(process, 'env').value.A);`;
    const { code, stdout, stderr } = await run(app, { script, env: { A: 'its-own' } });
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'false its-own\n' });
    expect(stderr).toMatch(new RegExp(`${none('\\S+')}\n$`));
  });

  test('a file of another ending is pointed out', async () => {
    const { stderr } = await run(app, { script: '', files: { 'execution-guard.config.cjs': 'throw new Error()' } });
    expect(stderr).toMatch(new RegExp(`${none('\\S+')}; execution-guard\\.config\\.cjs is there: name it in EXECUTION_GUARD_CONFIG\n$`));
  });

  test.each<[string, Partial<Run>]>([
    ['the variable is there and blank', { env: { EXECUTION_GUARD_CONFIG: '' } }],
    ['the program imports the entry itself', { preload: [], script: "import 'execution-guard/register'" }],
  ])('nothing is said where %s', async (_, rest) => {
    const { code, stderr } = await run(app, { script: '', ...rest });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });
});

describe('the configuration file', () => {
  const asObject = `{ keyManagement: { providers: { openai: { keys: ['sk-a'] } } } }`;
  const asYaml = 'keyManagement: { providers: { openai: { keys: [sk-a, "${SECOND}"] } } }';

  test.each([
    ['execution-guard.config.json', '{ "keyManagement": { "providers": { "openai": { "keys": ["${SECOND}"] } } } }', 1],
    ['execution-guard.config.yaml', asYaml, 2],
    ['execution-guard.config.yml', asYaml, 2],
    ['execution-guard.config.mjs', `export default ${asObject}`, 1],
  ])('is found as %s', async (name, text, count) => {
    const { code, stderr } = await run(app, { files: { [name]: text }, env: { SECOND: 'sk-b' }, script: '' });
    const guarded = count === 1 ? '1 key' : '2 keys';
    expect({ code, stderr }).toEqual({ code: 0, stderr: `execution-guard: guards openai (${guarded}); config ${name}\n` });
  });

  test.each([
    ['guard.js', `module.exports = ${asObject}`],
    ['guard.cjs', `exports.default = ${asObject}`],
    ['guard.mjs', `export default ${asObject}`],
    ['guard.json', '{ "keyManagement": { "providers": { "openai": { "keys": ["sk-a"] } } } }'],
    ['guard.yml', 'keyManagement: { providers: { openai: { keys: [sk-a] } } }'],
  ])('is named by EXECUTION_GUARD_CONFIG: %s', async (name, text) => {
    const { code, stderr } = await run(app, { files: { [name]: text }, env: { EXECUTION_GUARD_CONFIG: name }, script: '' });
    expect({ code, stderr }).toEqual({ code: 0, stderr: `execution-guard: guards openai (1 key); config ${name}\n` });
  });

  const CANARY = 'sk-proj-CANARYcanary0123456789';
  test.each<[what: string, files: Record<string, string>, env: Record<string, string>, said: RegExp]>([
    ['a missing file', {}, { EXECUTION_GUARD_CONFIG: 'none.json' }, /none\.json: there is no such file in .*EXECUTION_GUARD_CONFIG names it/],
    ['an unknown kind of file', { 'a.toml': '' }, { EXECUTION_GUARD_CONFIG: 'a.toml' }, /a\.toml: a configuration file ends in \.json, .* or \.cjs/],
    ['two files', { 'execution-guard.config.json': '{}', 'execution-guard.config.yaml': '' }, {}, /more than one configuration file: execution-guard\.config\.json, execution-guard\.config\.yaml; keep one/],
    ['JSON that is none', { 'execution-guard.config.json': `{"keys": ${CANARY}}` }, {}, /execution-guard\.config\.json: not valid JSON/],
    ['YAML that is none', { 'execution-guard.config.yaml': `keys:\n  - "${CANARY}\n` }, {}, /execution-guard\.config\.yaml: not valid YAML at line \d+, column \d+ \([A-Z_]+\)/],
    ['a module that throws', { 'execution-guard.config.mjs': `\nthrow new Error('${CANARY}')` }, {}, /execution-guard\.config\.mjs: loading it threw Error at line 2/],
    ['a module without a default export', { 'execution-guard.config.mjs': `export const key = '${CANARY}'` }, {}, /there is no default export/],
    ['a wrong option of the guard', { 'execution-guard.config.json': `{"retry": {"maxRetries": "${CANARY}"}}` }, {}, /execution-guard\.config\.json is not valid; please correct:\n {2}retry\.maxRetries: expected a whole number, 0 or more, found a string/],
    ['a wrong option of the preloader', { 'execution-guard.config.yaml': `register: { quite: ${CANARY} }` }, {}, /register\.quite: unknown option `quite`, did you mean `quiet`\?/],
    ['a variable for no pool', { 'execution-guard.config.yaml': `keyManagement: { providers: { openai: { keys: [${CANARY}] } } }\nregister: { interceptEnv: { KEY: "key:acme" } }` }, {}, /register\.interceptEnv\.KEY: expected the name of a provider that has a pool/],
    ['an unknown profile', { 'execution-guard.config.yaml': `keyManagement: { providers: { openai: { keys: [${CANARY}], profile: opnai } } }` }, {}, /keyManagement\.providers\["openai"\]\.profile: Unknown fault profile/],
  ])('ends the process before the program starts: %s', async (_, files, env, said) => {
    const { code, stdout, stderr } = await run(app, { files, env, script: 'console.log("started")' });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(said);
    expect(stderr.startsWith('execution-guard: ')).toBe(true);
    expect(stderr).not.toContain(CANARY.slice(8));
  });

  test('shows none of its keys, whatever the provider says', async () => {
    const server = opened(
      await startScripted([{ status: 401, body: `no such key: ${fakeOpenAIKey('ann')}` }], { repeatLast: true }),
    );
    const { code, stdout, stderr } = await run(app, {
      files: config({ keys: [keys[0]] }, { register: { interceptEnv: true }, retry: { maxRetries: 0 } }),
      script: `import { inspect } from 'node:util';
        import { request } from 'undici';
        import { executionGuard } from 'execution-guard';
        const init = { headers: { authorization: 'Bearer ' + process.env.OPENAI_API_KEY } };
        const { statusCode, body } = await request('${server.url}', init);
        console.log(statusCode, await body.text(), inspect(executionGuard, { depth: 9 }), inspect(process.env));
        console.log(JSON.stringify(executionGuard.getStats()), inspect(executionGuard.getConfig(), { depth: 9 }));
        await request('http://127.0.0.1:1', init).catch(error => console.log(inspect(error)));`,
    });
    expect(code).toBe(0);
    expect(stdout).toContain('401 no such key: sk-proj-…');
    expect(stdout + stderr).not.toContain(fakeOpenAIKey('ann').slice(8));
  });
});

describe('taken off', () => {
  test('leaves fetch, the dispatcher and the environment as they were, however often it is done', async () => {
    const server = await openAI();
    const printed = await output({
      files: config({}, { register: { interceptEnv: true } }),
      env: { OPENAI_API_KEY: 'its-own' },
      preload: ['--import', `data:text/javascript,globalThis.before = { fetch, env: process.env }`, '--import', 'execution-guard/register'],
      script: `import { env } from 'node:process';
        import { request } from 'undici';
        import { unregister } from 'execution-guard/register';
        const kept = fetch;
        console.log(kept === before.fetch, process.env.OPENAI_API_KEY, env.OPENAI_API_KEY);
        unregister();
        unregister();
        console.log(fetch === before.fetch, process.env === before.env, process.env.OPENAI_API_KEY, env.OPENAI_API_KEY);
        const url = '${server.url}/v1/models';
        const init = { headers: { authorization: 'Bearer guard:openai' } };
        console.log((await fetch(url, init)).status, (await kept(url, init)).status);
        console.log((await request(url, init)).statusCode);
        process.exit();`,
    });
    expect(printed).toEqual(['false guard:openai guard:openai', 'true true its-own its-own', '401 401', '401']);
    expect(server.requests.map(({ keyId }) => keyId)).toEqual(['unknown', 'unknown', 'unknown']);
  });
});

describe('loaded in other ways', () => {
  const ask = (url: string): string => `
    fetch('${url}/v1/chat/completions', ${chat}).then(({ status }) => console.log(status));`;

  test.each([
    ['--require', ['--require', 'execution-guard/register']],
    ['both --require and --import', ['--require', 'execution-guard/register', '--import', 'execution-guard/register']],
  ])('%s guards once, and says so once', async (_, preload) => {
    const server = await openAI();
    server.setKeyState(fakeOpenAIKey('ann'), 'invalid_key');
    const { code, stdout, stderr } = await run(app, {
      files: config(),
      preload,
      name: 'app.cjs',
      script: `${ask(server.url)}
        const { executionGuard } = require('execution-guard');
        const { unregister } = require('execution-guard/register');
        process.on('exit', () => {
          console.log(executionGuard.getStats().keys.openai.keys.map(key => key.requests).join());
          const guarded = fetch;
          unregister();
          console.log(fetch !== guarded);
        });`,
    });
    expect({ code, stdout }).toEqual({ code: 0, stdout: '200\n1,1,0\ntrue\n' });
    expect(stderr.split('\n')).toHaveLength(2);
  });

  test('worker threads have a guard of their own, and say nothing', async () => {
    const server = await openAI();
    const { code, stdout, stderr } = await run(app, {
      files: { ...config({}, { register: { interceptEnv: 'key' } }), 'worker.mjs': ask(server.url) },
      script: `import { Worker } from 'node:worker_threads'; new Worker('./worker.mjs');`,
    });
    expect({ code, stdout }).toEqual({ code: 0, stdout: '200\n' });
    expect(stderr.split('\n')).toHaveLength(2);
  });

  test('quietly, where that is asked for', async () => {
    const { code, stderr } = await run(app, { files: config({}, { register: { quiet: true } }), script: '' });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  test('by a program, with a configuration of its own', async () => {
    const server = await openAI();
    const printed = await output({
      preload: [],
      script: `import { register } from 'execution-guard/register';
        console.log(register({ keyManagement: { providers: { openai: { keys: ['${fakeOpenAIKey('ann')}'] } } } }));
        ${ask(server.url)}`,
    });
    expect(printed).toEqual(['true', '200']);
  });
});

describe('child processes', () => {
  const script = `import { fork, spawn } from 'node:child_process';
    const show = 'console.log(process.env.OPENAI_API_KEY, process.env.OPENAI_API_KEY_2, Object.values(process.env).join().includes("guard:"))';
    const run = child => new Promise(resolve => child.once('close', resolve));
    const options = { stdio: ['ignore', 'inherit', 'ignore'] };
    console.log(process.env.OPENAI_API_KEY, JSON.stringify(process.env).includes('sk-one'));
    await run(spawn(process.execPath, ['-e', show], options));
    await run(spawn(process.execPath, ['-e', show], { ...options, env: { ...process.env, OPENAI_API_KEY: 'given' } }));
    await run(fork('./forked.mjs', { stdio: ['ignore', 'inherit', 'ignore', 'ipc'] }));`;
  const forked = `import { executionGuard } from 'execution-guard';
    console.log(executionGuard.getStats().keys.openai.keys.length, process.env.OPENAI_API_KEY);
    process.disconnect();`;

  test.each([
    ['placeholder', 'guard:openai false', 'guard:openai'],
    ['key', 'sk-one true', 'sk-one'],
  ])('have the real values, and intercept them where they are preloaded too: %s', async (mode, seen, inFork) => {
    const printed = await output({
      files: { ...config({ keys: { env: 'OPENAI_API_KEY' } }, { register: { interceptEnv: mode } }), 'forked.mjs': forked },
      env: { OPENAI_API_KEY: 'sk-one', OPENAI_API_KEY_2: 'sk-two' },
      script,
    });
    expect(printed).toEqual([seen, 'sk-one sk-two false', 'given sk-two false', `2 ${inFork}`]);
  });

  test('worker threads have the real values, unless they are given a copy', async () => {
    const printed = await output({
      files: {
        ...config({ keys: { env: 'OPENAI_API_KEY' } }, { register: { interceptEnv: true } }),
        'worker.mjs': `import { executionGuard } from 'execution-guard';
          console.log(executionGuard.getStats().keys.openai.keys.length, process.env.OPENAI_API_KEY);`,
      },
      env: { OPENAI_API_KEY: 'sk-one', NODE_NO_WARNINGS: '1' },
      script: `import { SHARE_ENV, Worker } from 'node:worker_threads';
        const run = options => new Promise(resolve => new Worker('./worker.mjs', options).once('exit', resolve));
        await run({});
        await run({ env: SHARE_ENV });
        await run({ env: { ...process.env } });`,
    });
    expect(printed).toEqual(['1 guard:openai', '1 guard:openai', '0 guard:openai']);
  });
});
