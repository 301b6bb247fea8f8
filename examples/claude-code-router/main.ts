// npx tsx examples/claude-code-router/main.ts [1|2]
//
// Starts providers on this machine, and the unmodified router of the version asked for, else both versions in turn.
// Claude Code's part is played by a request in its format.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fakeGeminiKey, fakeOpenAIKey, startGemini, startOpenAI } from '../../test/support/loopback/index.ts';
import type { GeminiServer, LoggedRequest, OpenAIServer } from '../../test/support/loopback/index.ts';
import { startRouter } from './router.ts';

const root = path.resolve(import.meta.dirname, '../..');
const plugin = path.join(root, 'dist/ccr.cjs');

interface Upstreams {
  readonly gemini: GeminiServer;
  readonly openai: OpenAIServer;
}

/** Of Gemini's keys, one has been revoked and one has used up its quota. OpenAI has one key. */
async function startUpstreams(): Promise<Upstreams> {
  return {
    gemini: await startGemini({
      projects: { a: {}, b: {}, c: {} },
      keys: {
        [fakeGeminiKey('ann')]: { id: 'ann', project: 'a', state: 'invalid_key' },
        [fakeGeminiKey('ben')]: { id: 'ben', project: 'b', state: 'rpm' },
        [fakeGeminiKey('cleo')]: { id: 'cleo', project: 'c' },
      },
    }),
    openai: await startOpenAI({
      organisations: { o: {} },
      keys: { [fakeOpenAIKey('dan')]: { id: 'dan', organisation: 'o' } },
    }),
  };
}

/** What one would write into ~/.claude-code-router/config.json. */
function routerConfig({ gemini, openai }: Upstreams): object {
  return {
    // Where the package is installed next to the router, the path is "execution-guard/ccr".
    transformers: [
      {
        path: plugin,
        options: {
          keyManagement: {
            maxWaitMs: 0,
            providers: {
              gemini: {
                keys: [
                  { id: 'ann', key: '$GEMINI_ANN' },
                  { id: 'ben', key: '$GEMINI_BEN' },
                  { id: 'cleo', key: '$GEMINI_CLEO' },
                ],
              },
            },
          },
        },
      },
    ],
    Providers: [
      {
        name: 'gemini',
        api_base_url: `${gemini.url}/v1beta/models/`,
        api_key: 'guard:gemini',
        models: ['gemini-2.5-flash'],
        transformer: { use: ['gemini'] },
      },
      // No pool: this provider is none of the guard's business.
      {
        name: 'openai',
        api_base_url: `${openai.url}/v1/chat/completions`,
        api_key: '$OPENAI_API_KEY',
        models: ['gpt-4o'],
      },
    ],
    Router: { default: 'gemini,gemini-2.5-flash' },
    // Version 2 goes on with these when a provider has failed.
    fallback: { default: ['openai,gpt-4o'] },
  };
}

const environment = {
  GEMINI_ANN: fakeGeminiKey('ann'),
  GEMINI_BEN: fakeGeminiKey('ben'),
  GEMINI_CLEO: fakeGeminiKey('cleo'),
  OPENAI_API_KEY: fakeOpenAIKey('dan'),
};

async function ask(url: string, prompt: string): Promise<string> {
  const response = await fetch(`${url}/v1/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'anthropic-version': '2023-06-01' },
    body: JSON.stringify({
      model: 'claude-sonnet-4-5',
      max_tokens: 1000,
      stream: true,
      messages: [{ role: 'user', content: prompt }],
    }),
  });
  if (!response.ok) return `${response.status}`;
  const events = (await response.text()).split('\n').filter(line => line.startsWith('data: {'));
  const deltas = events.flatMap(line => /"text_delta","text":"([^"]*)"/.exec(line)?.[1] ?? []);
  return `${response.status} ${deltas.join('')}`;
}

function arrivals(requests: readonly LoggedRequest[]): string {
  return requests.map(({ keyId, status }) => `${keyId} ${status}`).join(', ') || 'nothing';
}

async function show(version: string): Promise<void> {
  const upstreams = await startUpstreams();
  const { gemini, openai } = upstreams;
  const cli = path.join(root, `node_modules/claude-code-router-${version}/dist/cli.js`);
  const router = await startRouter({ cli, config: routerConfig(upstreams), env: environment });
  let seen = { gemini: 0, openai: 0 };
  const step = async (prompt: string): Promise<void> => {
    console.log(`  asked     ${prompt}`);
    console.log(`  answered  ${await ask(router.url, prompt)}`);
    console.log(`  gemini    ${arrivals(gemini.requests.slice(seen.gemini))}`);
    console.log(`  openai    ${arrivals(openai.requests.slice(seen.openai))}\n`);
    seen = { gemini: gemini.requests.length, openai: openai.requests.length };
  };
  try {
    console.log(`claude-code-router ${version}.x\n`);
    await step('with a revoked key, a used-up one and a good one');
    await step('again');
    gemini.setKeyState(fakeGeminiKey('cleo'), 'rpm');
    await step('with no good key left');
    await router.logged('key cleo for gemini-2.5-flash: ready -> cooling');
    const lines = router.log().split('\n').flatMap(line => /"msg":"(execution-guard: .*)"}$/.exec(line)?.[1] ?? []);
    console.log('  In the log of the router:');
    for (const line of lines) console.log(`  ${line.replaceAll('\\"', '"')}`);
    console.log();
  } finally {
    await Promise.all([router.close(), gemini.close(), openai.close()]);
  }
}

const [version] = process.argv.slice(2);
if (version !== undefined && !['1', '2'].includes(version)) throw new RangeError('the version is 1 or 2');
if (!existsSync(plugin)) execFileSync('npm', ['run', 'build'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
for (const each of version === undefined ? ['1', '2'] : [version]) await show(each);
