export { fakeAnthropicKey, fakeGeminiAuthKey, fakeGeminiKey, fakeOpenAIKey } from './fake-keys.ts';
export { startGemini } from './gemini.ts';
export type { GeminiDescription, GeminiFailure, GeminiKey, GeminiServer } from './gemini.ts';
export type { Host, IncomingRequest, Reply, WireEntry } from './http-host.ts';
export { startLoopback } from './loopback-server.ts';
export type {
  Breakage,
  CommonFailure,
  LoggedRequest,
  LoopbackDescription,
  LoopbackOptions,
  LoopbackServer,
  Provider,
  Route,
  Situation,
} from './loopback-server.ts';
export { startOpenAI } from './openai.ts';
export type { OpenAIDescription, OpenAIFailure, OpenAIKey, OpenAIServer } from './openai.ts';
export { startScripted } from './scripted.ts';
export type { ScriptedAnswer, ScriptedOptions, ScriptedRequest } from './scripted.ts';
export type { Dimension, GroupLimits, Limits } from './quota.ts';
export { nextPacificMidnight } from './time.ts';
