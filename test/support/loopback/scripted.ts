import type { IncomingHttpHeaders } from 'node:http';
import { startHost } from './http-host.ts';
import type { Host, Outcome, Reply, WireEntry } from './http-host.ts';
import { asClock } from './time.ts';
import type { TimeSource } from './time.ts';

/** One answer of a script; the status is 200 when absent. */
export type ScriptedAnswer = Partial<Reply> | 'hang' | 'reset';

export interface ScriptedRequest extends WireEntry {
  headers: IncomingHttpHeaders;
  query: URLSearchParams;
  body: Buffer;
}

export interface ScriptedOptions {
  readonly clock?: TimeSource;
  readonly latencyMs?: number | (() => number);
  readonly chunkDelayMs?: number;
  /** Answers on with the last answer; without it, a request beyond the script is answered 500. */
  readonly repeatLast?: boolean;
}

/** Answers the first request with the first of `script`, the second with the second, and so on. */
export function startScripted(
  script: readonly ScriptedAnswer[],
  options: ScriptedOptions = {},
): Promise<Host<ScriptedRequest>> {
  let next = 0;

  function answer(): Outcome {
    const step = script[next] ?? (options.repeatLast ? script.at(-1) : undefined);
    next += 1;
    if (step === undefined) return { status: 500, body: `the script has no answer to request ${next}` };
    return typeof step === 'string' ? step : { ...step, status: step.status ?? 200 };
  }

  return startHost<ScriptedRequest>({
    clock: asClock(options.clock),
    latencyMs: options.latencyMs ?? 0,
    chunkDelayMs: options.chunkDelayMs ?? 0,
    log: (bare) => ({ ...bare, headers: {}, query: new URLSearchParams(), body: Buffer.alloc(0) }),
    answer: (request, entry) => {
      entry.headers = request.headers;
      entry.query = request.query;
      entry.body = request.body;
      return answer();
    },
  });
}
