import { finished, type Readable } from 'node:stream';
import { isResponse } from '../faults/response-text.ts';
import { onAbort } from './abort.ts';

type AnyIterator = AsyncIterator<unknown, unknown, unknown>;

/** True for what may be read bit by bit: few answers are, and none else is to pay for being watched. */
export function isStream(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  try {
    return isResponse(value) || Symbol.asyncIterator in value || isNodeReadable(value);
  } catch {
    // A Proxy that throws: the value goes to its caller all the same.
    return false;
  }
}

/**
 * Calls `onEnd` once when a streamed value ends, fails or is cancelled, or its caller aborts; the value itself
 * stays what it is. Returns the way to look out no longer for the caller; undefined where the value is no stream, or
 * cannot be watched: then it is over already.
 */
export function whenStreamEnds(value: unknown, onEnd: () => void, caller?: AbortSignal): (() => void) | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  let ended = false;
  let forgetCaller: (() => void) | undefined;
  const end = (): void => {
    if (ended) return;
    ended = true;
    forgetCaller?.();
    onEnd();
  };
  try {
    if (!watchValue(value, end)) return undefined;
  } catch {
    // A getter or a Proxy that throws: the value goes to its caller all the same.
    ended = true;
    return undefined;
  }
  // An aborted generator that nobody reads on never says that it has ended.
  if (caller) forgetCaller = onAbort(caller, end);
  return () => forgetCaller?.();
}

function watchValue(value: object, end: () => void): boolean {
  if (isResponse(value)) {
    if (!watchBody(value.body, end)) return false;
    watchReading(value, end);
    return true;
  }
  return watchBody(value, end) || (Symbol.asyncIterator in value && watchIterable(value, end));
}

/** Node sees the end of a web stream from within, whoever reads it: a reader, a tee, `Response.json()`. */
function watchBody(body: object | null, end: () => void): boolean {
  // Applied, because the types of Node 20 know it of Node's own streams only.
  if (body instanceof ReadableStream) Reflect.apply(finished, undefined, [body, end]);
  else if (isNodeReadable(body)) finished(body, { writable: false }, end);
  else return false;
  return true;
}

const READING = ['arrayBuffer', 'blob', 'bytes', 'formData', 'json', 'text'] as const;

/**
 * From within, an end is seen a turn late: whoever reads a body to its end and calls again at once would find the
 * key still taken. So the usual ways of reading tell it themselves, before their caller goes on.
 */
function watchReading(response: Response, end: () => void): void {
  for (const name of READING) {
    const read: unknown = Reflect.get(response, name);
    if (typeof read === 'function') override(response, { [name]: () => told(Reflect.apply(read, response, []), end) });
  }
  const { body } = response;
  if (!(body instanceof ReadableStream)) return;
  const getReader = body.getReader.bind(body);
  const values = body.values.bind(body);
  const iterate = (options?: { preventCancel?: boolean }): AsyncIterableIterator<unknown> =>
    iterating(values(options), end);
  override(body, {
    getReader: (...options: Parameters<ReadableStream['getReader']>) => {
      const reader = getReader(...options);
      const read = reader.read.bind(reader);
      override(reader, { read: (view: never) => step(read(view), end) });
      return reader;
    },
    values: iterate,
    [Symbol.asyncIterator]: iterate,
  });
}

/** Tells when the reading is over, before those who wait for it hear. */
function told(reading: unknown, end: () => void): unknown {
  if (reading instanceof Promise) reading.then(end, end);
  return reading;
}

function isNodeReadable(value: unknown): value is Readable {
  if (typeof value !== 'object' || value === null) return false;
  return 'pipe' in value && typeof value.pipe === 'function' && 'on' in value && typeof value.on === 'function';
}

/**
 * Watches an async generator, or an SDK's stream. The streams of the OpenAI SDK and its relatives begin every
 * way of reading them, `tee()` too, by calling a method `iterator`; they end with their controller.
 */
function watchIterable(value: object, end: () => void): boolean {
  const iterable = value as AsyncIterable<unknown> & Partial<AnyIterator> & SdkStream;
  if (typeof iterable.next === 'function') return override(value, watched(iterable as AnyIterator, end));
  const method = typeof iterable.iterator === 'function' ? 'iterator' : Symbol.asyncIterator;
  const iterate = iterable[method]?.bind(iterable);
  if (!iterate || !override(value, { [method]: () => iterating(iterate(), end) })) return false;
  const signal = iterable.controller?.signal;
  if (signal instanceof AbortSignal) onAbort(signal, end);
  // The SDK's stream helpers read by themselves, and may be listened to without being iterated.
  if (typeof iterable.on === 'function') iterable.on('end', end);
  return true;
}

interface SdkStream {
  iterator?: () => AnyIterator;
  controller?: { readonly signal?: unknown };
  on?: (event: 'end', listener: () => void) => unknown;
}

function iterating(iterator: AnyIterator, end: () => void): AsyncIterableIterator<unknown> {
  return {
    ...watched(iterator, end),
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

/** The iterator's methods; the end of each is looked at on its way to whoever reads. */
function watched(iterator: AnyIterator, end: () => void): Required<AnyIterator> {
  const next = iterator.next.bind(iterator);
  const close = iterator.return?.bind(iterator);
  const fail = iterator.throw?.bind(iterator);
  return {
    next: (...value) => step(next(...value), end),
    return: value => {
      end();
      return close ? close(value) : Promise.resolve({ done: true, value });
    },
    throw: error => {
      end();
      return fail ? fail(error) : Promise.reject(error);
    },
  };
}

/** One step of reading, told if it is the last. */
async function step<R extends { readonly done?: boolean | undefined }>(reading: Promise<R>, end: () => void): Promise<R> {
  try {
    const result = await reading;
    if (result.done) end();
    return result;
  } catch (error) {
    end();
    throw error;
  }
}

/** Own properties over the prototype's methods; false where the object is sealed against them. */
function override(target: object, methods: object): boolean {
  return Reflect.ownKeys(methods).every(key => {
    const value: unknown = Reflect.get(methods, key);
    return Reflect.defineProperty(target, key, { value, configurable: true, writable: true });
  });
}
