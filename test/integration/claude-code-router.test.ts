import { execFileSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startRouter, type RouterOptions, type RunningRouter } from '../../examples/claude-code-router/router.ts';
import { packedApp, type PackedApp } from '../package/packed.ts';
import {
  anthropic,
  fakeAnthropicKey,
  fakeGeminiKey,
  fakeOpenAIKey,
  gemini,
  openAI,
  startLoopback,
  type Breakage,
  type Host,
  type LoggedRequest,
  type LoopbackDescription,
} from '../support/loopback/index.ts';

const root = path.resolve(import.meta.dirname, '../..');
const timeout = 60_000;
// Other processes take part, on a machine that may have better things to do.
vi.setConfig({ testTimeout: timeout, hookTimeout: timeout });

type State = 'ok' | 'rpm' | 'invalid_key';

/** What befalls the keys of a pool, by their ids. Each upstream has such a pool for streams and one for the rest. */
const POOLS: Readonly<Record<string, Readonly<Record<string, State>>>> = {
  limited: { ann: 'rpm', ben: 'rpm', cleo: 'ok' },
  exhausted: { ann: 'rpm', ben: 'rpm' },
  revoked: { ann: 'invalid_key', ben: 'ok' },
  lonely: { ann: 'ok' },
};
/** Providers that have a key of their own in the router's configuration. */
const OWN: Readonly<Record<string, State>> = { own: 'ok', ownlimited: 'rpm' };

const MODES = ['streamed', 'whole'] as const;
type Mode = (typeof MODES)[number];

interface Upstream extends Host<LoggedRequest> {
  failNext(count: number, kind: Breakage): void;
}

interface Kind {
  readonly key: (label: string) => string;
  readonly model: string;
  readonly path: string;
  readonly transformer?: object;
  readonly start: (description: LoopbackDescription<never>) => Promise<Upstream>;
}

const KINDS = {
  gemini: {
    key: fakeGeminiKey,
    model: 'gemini-2.5-flash',
    path: '/v1beta/models/',
    transformer: { use: ['gemini'] },
    start: description => startLoopback(gemini(), description),
  },
  openai: {
    key: fakeOpenAIKey,
    model: 'gpt-4o',
    path: '/v1/chat/completions',
    start: description => startLoopback(openAI(), description),
  },
  anthropic: {
    key: fakeAnthropicKey,
    model: 'claude-sonnet-4-6',
    path: '/v1/messages',
    transformer: { use: ['Anthropic'] },
    start: description => startLoopback(anthropic(), description),
  },
} satisfies Record<string, Kind>;

type KindName = keyof typeof KINDS;
const NAMES = ['gemini', 'openai', 'anthropic'] as const satisfies readonly KindName[];

/** Keys by number: the labels of some are short. */
const labels = new Map<string, string>();
function secretOf(kind: KindName, id: string): string {
  const label = labels.get(id) ?? `k${labels.size}`;
  labels.set(id, label);
  return KINDS[kind].key(label);
}

/** `limited-streamed` and so on, with the keys that stand behind each. */
function poolsOf(): { pool: string; keys: { id: string; name: string; state: State }[] }[] {
  return MODES.flatMap(mode =>
    Object.entries(POOLS).map(([name, keys]) => {
      const pool = `${name}-${mode}`;
      return { pool, keys: Object.entries(keys).map(([key, state]) => ({ id: `${pool}-${key}`, name: key, state })) };
    }),
  );
}

let app: PackedApp;
const upstreams = new Map<KindName, Upstream>();

function upstream(kind: KindName): Upstream {
  const found = upstreams.get(kind);
  if (!found) throw new Error(`${kind} is not started`);
  return found;
}

async function startUpstream(kind: KindName): Promise<void> {
  const all = [...poolsOf().flatMap(({ keys }) => keys), ...Object.entries(OWN).map(([id, state]) => ({ id, state }))];
  const keys = Object.fromEntries(all.map(({ id, state }) => [secretOf(kind, id), { id, state, group: id }]));
  const groups = Object.fromEntries(all.map(({ id }) => [id, {}]));
  upstreams.set(kind, await KINDS[kind].start({ groups, keys }));
}

function provider(kind: KindName, name: string, apiKey: string): object {
  const { model, path: pathname, transformer }: Kind = KINDS[kind];
  return {
    name: `${kind}-${name}`,
    api_base_url: `${upstream(kind).url}${pathname}`,
    api_key: apiKey,
    models: [model],
    ...(transformer && { transformer }),
  };
}

/** The router's config.json: every pool of every upstream, and the providers that have none. */
function routerConfig(options: object = guardOptions()): object {
  return {
    transformers: [{ path: 'execution-guard/ccr', options }],
    Providers: NAMES.flatMap(kind => [
      ...poolsOf().map(({ pool }) => provider(kind, pool, `guard:${kind}-${pool}`)),
      ...Object.keys(OWN).map(name => provider(kind, name, secretOf(kind, name))),
    ]),
    Router: { default: `openai-own,${KINDS.openai.model}` },
  };
}

function guardOptions(): object {
  const providers = NAMES.flatMap(kind =>
    poolsOf().map(({ pool, keys }) => [
      `${kind}-${pool}`,
      { keys: keys.map(({ id, name }) => ({ id: name, key: secretOf(kind, id), limits: { concurrency: 1 } })) },
    ]),
  );
  // A call that finds no key ready is not to wait for one.
  return { keyManagement: { maxWaitMs: 0, providers: Object.fromEntries(providers) as object } };
}

function start(version: string, options: Omit<RouterOptions, 'cli'>): Promise<RunningRouter> {
  const cli = path.join(app.directory, version, 'node_modules/@musistudio/claude-code-router/dist/cli.js');
  return startRouter({ cli, ...options });
}

interface Question {
  readonly kind: KindName;
  readonly name: string;
  readonly mode: Mode;
  readonly signal?: AbortSignal;
}

/** A request as Claude Code sends it: its session is in the metadata. */
function send(router: RunningRouter, { kind, name, mode, signal }: Question): Promise<Response> {
  return fetch(`${router.url}/v1/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'anthropic-version': '2023-06-01', 'x-api-key': 'of-the-client' },
    body: JSON.stringify({
      model: `${kind}-${name},${KINDS[kind].model}`,
      max_tokens: 1000,
      stream: mode === 'streamed',
      metadata: { user_id: 'user_1_account_2_session_3' },
      messages: [{ role: 'user', content: 'hello' }],
    }),
    ...(signal && { signal }),
  });
}

interface Outcome {
  readonly status: number;
  readonly text: string;
  /** What arrived upstream, by key. */
  readonly sent: string[];
}

async function ask(router: RunningRouter, question: Question): Promise<Outcome> {
  const { requests } = upstream(question.kind);
  const before = requests.length;
  const response = await send(router, question);
  const body = await response.text();
  const text =
    question.mode === 'streamed' && response.ok
      ? [...body.matchAll(/"text_delta","text":"([^"]*)"/g)].map(([, delta]) => delta).join('')
      : body;
  const sent = requests.slice(before).map(({ keyId, status }) => `${keyId.split('-').at(-1)} ${status}`);
  return { status: response.status, text, sent };
}

beforeAll(async () => {
  app = packedApp();
  for (const version of ['1', '2']) {
    cpSync(
      path.join(root, `node_modules/claude-code-router-${version}`),
      path.join(app.directory, version, 'node_modules/@musistudio/claude-code-router'),
      { recursive: true, dereference: true },
    );
  }
  await Promise.all(NAMES.map(startUpstream));
});

afterAll(async () => {
  await Promise.all([...upstreams.values()].map(each => each.close()));
  app.remove();
});

const cases = NAMES.flatMap(kind => MODES.map(mode => ({ kind, mode })));

describe.each(['1', '2'])('claude-code-router %s', version => {
  let router: RunningRouter;

  beforeAll(async () => {
    router = await start(version, { config: routerConfig() });
  });

  afterAll(() => router.close());

  describe.each(cases)('$kind, $mode', ({ kind, mode }) => {
    const question = (name: string): Question => ({ kind, mode, name: name.startsWith('own') ? name : `${name}-${mode}` });

    test('two keys are at their limit, and the third one answers the same request', async () => {
      expect(await ask(router, question('limited'))).toEqual({
        status: 200,
        text: expect.stringContaining('You said: hello') as unknown,
        sent: ['ann 429', 'ben 429', 'cleo 200'],
      });
      // They are left alone for as long as the provider has said.
      expect(await ask(router, question('limited'))).toMatchObject({ status: 200, sent: ['cleo 200'] });
    });

    test('all keys are at their limit, and the client hears so', async () => {
      expect(await ask(router, question('exhausted'))).toMatchObject({ status: 429, sent: ['ann 429', 'ben 429'] });
      const refused = await ask(router, question('exhausted'));
      expect(refused).toMatchObject({ status: 429, sent: [] });
      expect(refused.text).toContain('POOL_EXHAUSTED');
    });

    test('a revoked key is set aside', async () => {
      expect(await ask(router, question('revoked'))).toMatchObject({ status: 200, sent: [expect.any(String), 'ben 200'] });
      expect(await ask(router, question('revoked'))).toMatchObject({ status: 200, sent: ['ben 200'] });
      await router.logged(`pool \\"${kind}-revoked-${mode}\\": key ann: suspect -> disabled`);
    });

    test('a provider with a key of its own is served as without the plugin', async () => {
      expect(await ask(router, question('own'))).toMatchObject({ status: 200, sent: ['own 200'] });
      expect(await ask(router, question('ownlimited'))).toMatchObject({ status: 429, sent: ['ownlimited 429'] });
    });

    test.each(mode === 'streamed' ? (['hang', 'stall'] as const) : (['hang'] as const))(
      'a client that leaves at a %s ends the request upstream, and its key serves the next one',
      async breakage => {
        const server = upstream(kind);
        const arrived = server.requests.length + 1;
        server.failNext(1, breakage);
        const controller = new AbortController();
        const answer = send(router, { ...question('lonely'), signal: controller.signal });
        await server.arrived(arrived);
        if (breakage === 'stall') await (await answer).body?.getReader().read();
        controller.abort();
        await answer.catch(() => undefined);
        await server.idle();
        expect(server.requests.at(-1)).toMatchObject({ aborted: true });
        expect(await ask(router, question('lonely'))).toMatchObject({ status: 200, sent: ['ann 200'] });
      },
    );
  });

  test('no key of a pool is in the log', () => {
    const log = router.log();
    expect(log).toContain('guard:gemini-limited-whole');
    const secrets = NAMES.flatMap(kind => poolsOf().flatMap(({ keys }) => keys.map(({ id }) => secretOf(kind, id))));
    expect(secrets.filter(secret => log.includes(secret))).toEqual([]);
  });
});

test('version 2 goes on with its own fallback when a pool is exhausted', async () => {
  const config = { ...routerConfig(), fallback: { default: [`openai-own,${KINDS.openai.model}`] } };
  const router = await start('2', { config });
  try {
    const before = upstream('openai').requests.length;
    for (const mode of MODES) {
      const question = { kind: 'gemini', name: `exhausted-${mode}`, mode } as const;
      const answer = await ask(router, question);
      expect(answer).toMatchObject({ status: 200, sent: ['ann 429', 'ben 429'] });
      expect(answer.text).toContain('You said: hello');
      // What the guard refuses by itself is a failure of the provider like any other.
      expect(await ask(router, question)).toMatchObject({ status: 200, sent: [] });
    }
    expect(upstream('openai').requests.slice(before).map(({ keyId }) => keyId)).toEqual(Array(4).fill('own'));
  } finally {
    await router.close();
  }
});

describe.each(['1', '2'])('claude-code-router %s with options that are wrong', version => {
  test.each([
    [undefined, 'options.keyManagement.providers: expected at least one pool of keys'],
    [{ keyManagement: { providers: { gemini: { kyes: [] } } } }, 'options.keyManagement.providers.gemini.kyes'],
  ])('starts, says what is wrong, and serves the others: %#', async (options, message) => {
    const router = await start(version, { config: routerConfig(options ?? {}) });
    try {
      await router.logged(message);
      const own = { kind: 'openai', name: 'own', mode: 'whole' } as const;
      expect(await ask(router, own)).toMatchObject({ status: 200, sent: ['own 200'] });
    } finally {
      await router.close();
    }
  });
});

test.each(['1', '2'])('claude-code-router %s keeps to its proxy', async version => {
  const proxy = await startProxy();
  const router = await start(version, { config: { ...routerConfig(), PROXY_URL: proxy.url } });
  try {
    const question = { kind: 'openai', mode: 'whole' } as const;
    expect(await ask(router, { ...question, name: 'own' })).toMatchObject({ status: 200 });
    const before = proxy.tunnels();
    expect(before).toBeGreaterThan(0);
    expect(await ask(router, { ...question, name: 'limited-whole' })).toMatchObject({ sent: ['ann 429', 'ben 429', 'cleo 200'] });
    expect(proxy.tunnels()).toBeGreaterThan(before);
  } finally {
    await router.close();
    await proxy.close();
  }
});

test('the example runs', () => {
  const example = path.join(root, 'examples/claude-code-router/main.ts');
  const tsx = path.join(root, 'node_modules/tsx/dist/cli.mjs');
  const output = execFileSync(process.execPath, [tsx, example], { encoding: 'utf8' });
  const answers = output.split('\n').filter(line => line.startsWith('  answered'));
  expect(answers.map(line => line.trim().split(/\s+/)[1])).toEqual(['200', '200', '429', '200', '200', '200']);
  expect(output.match(/ann 400, ben 429, cleo 200/g)).toHaveLength(2);
});

interface Proxy {
  readonly url: string;
  /** Connections made through it so far. */
  tunnels(): number;
  close(): Promise<void>;
}

async function startProxy(): Promise<Proxy> {
  let tunnels = 0;
  const server = createServer().on('connect', ({ url }, client) => {
    tunnels += 1;
    const { hostname, port } = new URL(`http://${url}`);
    const target = connect(Number(port), hostname, () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      target.pipe(client).pipe(target);
    });
    for (const [socket, other] of [[client, target], [target, client]] as const) {
      socket.on('error', () => other.destroy()).on('close', () => other.destroy());
    }
  });
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    tunnels: () => tunnels,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
