export { anthropic } from './anthropic.ts';
export { azure } from './azure.ts';
export { cohere } from './cohere.ts';
export { compatible } from './compatible.ts';
export type { Compatible } from './compatible.ts';
export { fakeAnthropicKey, fakeGeminiAuthKey, fakeGeminiKey, fakeOpenAIKey } from './fake-keys.ts';
export { gemini, startGemini } from './gemini.ts';
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
export { openAI, startOpenAI } from './openai.ts';
export type { OpenAIDescription, OpenAIFailure, OpenAIKey, OpenAIServer } from './openai.ts';
export { mistral } from './mistral.ts';
export { startScripted } from './scripted.ts';
export type { ScriptedAnswer, ScriptedOptions, ScriptedRequest } from './scripted.ts';
export type { Dimension, GroupLimits, Limits } from './quota.ts';
export { nextPacificMidnight } from './time.ts';
