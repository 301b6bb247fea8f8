import { AsyncLocalStorage } from 'node:async_hooks';
import { tracingChannel } from 'node:diagnostics_channel';
import { ServerResponse } from 'node:http';

/**
 * The answer that the code which runs now is about to give. Fastify, which the router is built on, announces each
 * request it hands to its handler.
 */
const answers = new AsyncLocalStorage<ServerResponse | undefined>();
const { start } = tracingChannel<unknown, object>('fastify.request.handler');

/** From now on {@link clientSignal} knows of clients. */
export function watchClients(): void {
  start.bindStore(answers, answerOf);
}

export function unwatchClients(): void {
  start.unbindStore(answers);
}

/**
 * Aborted when the client whose request is being served goes away before it has its answer; undefined where none is
 * being served. The router itself lets go of a request upstream at most when a stream is under way.
 */
export function clientSignal(): AbortSignal | undefined {
  const answer = answers.getStore();
  if (!answer) return undefined;
  const controller = new AbortController();
  const left = (): void => {
    if (!answer.writableFinished) controller.abort(new DOMException('The client went away.', 'AbortError'));
  };
  if (answer.closed) left();
  else answer.once('close', left);
  return controller.signal;
}

function answerOf(announcement: unknown): ServerResponse | undefined {
  const reply = memberOf(announcement, 'reply');
  const raw = memberOf(reply, 'raw');
  return raw instanceof ServerResponse ? raw : undefined;
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
