import { fakeGeminiKey, fakeOpenAIKey, startGemini, startOpenAI } from '../../test/support/loopback/index.ts';
import type { GeminiServer, OpenAIServer } from '../../test/support/loopback/index.ts';

export const CALLS = 120;
/** Time between the starts of two calls. */
export const SPACING_MS = 80;
export const OUTAGE_MS = 2500;

export type ProviderName = 'gemini' | 'openai';

export const MODELS: Readonly<Record<ProviderName, string>> = { gemini: 'gemini-2.5-flash', openai: 'gpt-4o' };

export interface DemoKey {
  readonly id: string;
  readonly provider: ProviderName;
  /** The project or organisation whose quota the key uses. */
  readonly group: string;
  readonly secret: string;
}

function geminiKey(id: string, group: string): DemoKey {
  return { id, provider: 'gemini', group, secret: fakeGeminiKey(id) };
}

function openAIKey(id: string, group: string): DemoKey {
  return { id, provider: 'openai', group, secret: fakeOpenAIKey(id) };
}

export const KEYS: readonly DemoKey[] = [
  geminiKey('orchid-1', 'orchid'),
  geminiKey('orchid-2', 'orchid'),
  geminiKey('maple', 'maple'),
  geminiKey('willow', 'willow'),
  geminiKey('birch', 'birch'),
  openAIKey('north', 'org-north'),
  openAIKey('south', 'org-south'),
];

export const TROUBLES: readonly string[] = [
  'birch    its key was revoked',
  'maple    its project has used up the day',
  'orchid   two keys of one project that allows 8 requests a minute, which nobody told the guard',
  'willow   nothing is wrong with it',
  `openai   answers 503 for ${OUTAGE_MS / 1000} s in the middle`,
];

export interface Servers {
  readonly gemini: GeminiServer;
  readonly openai: OpenAIServer;
  close(): Promise<void>;
}

export async function startServers(): Promise<Servers> {
  const keysOf = (provider: ProviderName): readonly DemoKey[] => KEYS.filter((key) => key.provider === provider);
  const gemini = await startGemini({
    latencyMs: 40,
    projects: { orchid: { rpm: 8, rpd: 250 }, maple: { rpm: 60, rpd: 250 }, willow: { rpm: 120 }, birch: {} },
    keys: Object.fromEntries(
      keysOf('gemini').map(({ id, group, secret }) => [
        secret,
        { id, project: group, ...(id === 'birch' && { state: 'revoked' as const }) },
      ]),
    ),
  });
  const openai = await startOpenAI({
    latencyMs: 60,
    organisations: { 'org-north': { rpm: 600 }, 'org-south': { rpm: 600 } },
    keys: Object.fromEntries(keysOf('openai').map(({ id, group, secret }) => [secret, { id, organisation: group }])),
  });
  gemini.exhaustDay('maple');
  return {
    gemini,
    openai,
    close: async () => {
      await Promise.all([gemini.close(), openai.close()]);
    },
  };
}

export interface PlannedCall {
  /** From 0. */
  readonly index: number;
  readonly provider: ProviderName;
  readonly prompt: string;
}

/** Three calls to Gemini, then two to OpenAI, and so on. */
export const PLAN: readonly PlannedCall[] = Array.from({ length: CALLS }, (_, index) => ({
  index,
  provider: index % 5 < 3 ? 'gemini' : 'openai',
  prompt: `question ${index + 1}`,
}));

/** What happens to the providers just before the call with this index starts. */
export function happening(index: number, servers: Servers): string | undefined {
  if (index !== 45) return undefined;
  servers.openai.setOutage('overloaded', OUTAGE_MS);
  return `openai goes down for ${OUTAGE_MS / 1000} s`;
}
