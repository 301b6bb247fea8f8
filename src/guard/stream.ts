import { finished, type Readable } from 'node:stream';
import { isResponse } from '../faults/response-text.ts';

type PipeOptions = Parameters<ReadableStream['pipeTo']>[1];

/**
 * Calls `onEnd` once when a streamed value ends, fails or is cancelled; the value itself stays what it is.
 * False where the value is no stream, or cannot be watched: then it is over already.
 */
export function whenStreamEnds(value: unknown, onEnd: () => void): boolean {
  if (typeof value !== 'object' || value === null) return false;
  let ended = false;
  const end = (): void => {
    if (ended) return;
    ended = true;
    onEnd();
  };
  if (isResponse(value)) {
    if (!(value.body instanceof ReadableStream) || value.bodyUsed) return false;
    return watchWebStream(value.body, end);
  }
  if (value instanceof ReadableStream) return watchWebStream(value, end);
  if (isNodeReadable(value)) {
    finished(value, end);
    return true;
  }
  return Symbol.asyncIterator in value && watchIterable(value, end);
}

function isNodeReadable(value: object): value is Readable {
  return 'pipe' in value && typeof value.pipe === 'function' && 'on' in value && typeof value.on === 'function';
}

/**
 * Watches every way in which a stream is consumed. `Response.text()` and its like take a reader or a tee
 * of the same stream object, so they are seen too.
 */
function watchWebStream(stream: ReadableStream, end: () => void): boolean {
  if (stream.locked) return false;
  const getReader = stream.getReader.bind(stream);
  const tee = stream.tee.bind(stream);
  const pipeTo = stream.pipeTo.bind(stream);
  const cancel = stream.cancel.bind(stream);
  const values = stream.values.bind(stream);
  const iterate = (options?: { preventCancel?: boolean }): AsyncIterableIterator<unknown> =>
    watchedIterator(values(options), end);
  return override(stream, {
    getReader: (options?: { mode: 'byob' }) => {
      const reader = options === undefined ? getReader() : getReader(options);
      reader.closed.then(end, end);
      return reader;
    },
    // One branch at its end means that all has arrived, whatever the other one still holds.
    tee: () => {
      const branches = tee();
      for (const branch of branches) watchWebStream(branch, end);
      return branches;
    },
    pipeTo: (destination: WritableStream, options?: PipeOptions) => pipeTo(destination, options).finally(end),
    pipeThrough: (
      { readable, writable }: { readable: ReadableStream; writable: WritableStream },
      options?: PipeOptions,
    ) => {
      pipeTo(writable, options)
        .finally(end)
        .catch(() => {
          // The readable side reports it.
        });
      return readable;
    },
    cancel: (reason?: unknown) => cancel(reason).finally(end),
    values: iterate,
    [Symbol.asyncIterator]: iterate,
  });
}

/** An SDK's stream: its iterator is watched, and the object itself where it is its own iterator. */
function watchIterable(value: object, end: () => void): boolean {
  const iterable = value as AsyncIterable<unknown> & Partial<AsyncIterator<unknown>>;
  if (typeof iterable.next === 'function') {
    const watched = watchedIterator(bindIterator(iterable as AsyncIterator<unknown>), end);
    return override(value, {
      next: watched.next.bind(watched),
      ...(watched.return && { return: watched.return.bind(watched) }),
      ...(watched.throw && { throw: watched.throw.bind(watched) }),
    });
  }
  const iterate = iterable[Symbol.asyncIterator].bind(iterable);
  return override(value, { [Symbol.asyncIterator]: () => watchedIterator(iterate(), end) });
}

function bindIterator(iterator: AsyncIterator<unknown>): AsyncIterator<unknown> {
  return {
    next: iterator.next.bind(iterator),
    ...(iterator.return && { return: iterator.return.bind(iterator) }),
    ...(iterator.throw && { throw: iterator.throw.bind(iterator) }),
  };
}

function watchedIterator(iterator: AsyncIterator<unknown>, end: () => void): AsyncIterableIterator<unknown> {
  const watch = async (step: Promise<IteratorResult<unknown>>): Promise<IteratorResult<unknown>> => {
    try {
      const result = await step;
      if (result.done) end();
      return result;
    } catch (error) {
      end();
      throw error;
    }
  };
  return {
    next: () => watch(iterator.next()),
    return: value => {
      end();
      return iterator.return ? iterator.return(value) : Promise.resolve({ done: true, value: undefined });
    },
    throw: error => {
      end();
      return iterator.throw ? iterator.throw(error) : Promise.reject(error);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

/** Own properties over the prototype's methods; false where the object is sealed against them. */
function override(target: object, methods: Record<PropertyKey, unknown>): boolean {
  for (const key of Reflect.ownKeys(methods)) {
    const done = Reflect.defineProperty(target, key, { value: methods[key as string], configurable: true, writable: true });
    if (!done) return false;
  }
  return true;
}
