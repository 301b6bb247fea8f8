import type { SimulatedProvider } from '../scenario.ts';
import { anthropic } from './anthropic.ts';
import { binance } from './binance.ts';
import type { Dialect } from './dialect.ts';
import { gemini } from './gemini.ts';
import { openai } from './openai.ts';
import { plain } from './plain.ts';

export const DIALECTS: Readonly<Record<SimulatedProvider['dialect'], Dialect>> = { anthropic, binance, gemini, openai, plain };
