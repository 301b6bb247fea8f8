import { AsyncLocalStorage } from 'node:async_hooks';
import { tracingChannel } from 'node:diagnostics_channel';
import { ServerResponse } from 'node:http';
import { property } from '../faults/safe-read.ts';

/**
 * The answer that the code which runs now is about to give. Fastify, which the router is built on, announces each
 * request it hands to its handler.
 */
const answers = new AsyncLocalStorage<ServerResponse | undefined>();
const { start } = tracingChannel<unknown, object>('fastify.request.handler');

/** One for each answer, however many requests are made for it. */
const departures = new WeakMap<ServerResponse, AbortSignal>();
let watchers = 0;

/** From now on {@link clientSignal} knows of clients. Returns the way back, for the last who watches. */
export function watchClients(): () => void {
  if (watchers++ === 0) start.bindStore(answers, answerOf);
  let isOver = false;
  return () => {
    if (!isOver && --watchers === 0) start.unbindStore(answers);
    isOver = true;
  };
}

/**
 * Aborted when the client whose request is being served goes away before it has its answer; undefined where none is
 * being served. The router itself lets go of a request upstream at most when a stream is under way.
 */
export function clientSignal(): AbortSignal | undefined {
  const answer = answers.getStore();
  if (!answer) return undefined;
  let signal = departures.get(answer);
  if (!signal) departures.set(answer, (signal = departureOf(answer)));
  return signal;
}

function departureOf(answer: ServerResponse): AbortSignal {
  const controller = new AbortController();
  const left = (): void => {
    if (!answer.writableFinished) controller.abort(new DOMException('The client went away.', 'AbortError'));
  };
  if (answer.closed) left();
  else answer.once('close', left);
  return controller.signal;
}

function answerOf(announcement: unknown): ServerResponse | undefined {
  const raw = property(property(announcement, 'reply'), 'raw');
  return raw instanceof ServerResponse ? raw : undefined;
}
