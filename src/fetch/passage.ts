/** A body that was begun: what was read of it already, and the rest. */
export interface BegunBody {
  readonly head: Uint8Array[];
  readonly rest: ReadableStreamDefaultReader<Uint8Array>;
}

/** Looks on while a body passes. */
export interface Onlooker {
  /** A chunk of the rest; what was read before was seen then. */
  saw(chunk: Uint8Array): void;
  /** The body has ended or broken off, or nobody reads on. */
  ended(): void;
}

/**
 * The whole body again, from its first byte, at the pace of whoever reads it. Its end and its errors are those
 * of the body below, and cancelling it cancels that one.
 *
 * @param handedOn what a chunk is handed on as
 */
export function passage(
  { head, rest }: BegunBody,
  onlooker?: Onlooker,
  handedOn: (chunk: Uint8Array) => Uint8Array = chunk => chunk,
): ReadableStream<Uint8Array> {
  /** Undefined at the end. */
  const next = async (): Promise<Uint8Array | undefined> => {
    try {
      const { value } = await rest.read();
      return value;
    } catch (error) {
      onlooker?.ended();
      throw error;
    }
  };
  return new ReadableStream({
    // Like the bodies of fetch: these can be read into a buffer of one's own.
    type: 'bytes',
    async pull(controller) {
      for (;;) {
        const begun = head.shift();
        const chunk = begun ?? (await next());
        if (!chunk) {
          onlooker?.ended();
          controller.close();
          // Whoever reads into a buffer still waits for it.
          controller.byobRequest?.respond(0);
          return;
        }
        if (chunk.byteLength === 0) continue;
        if (!begun) onlooker?.saw(chunk);
        // A copy: the chunk's memory goes over to the stream, and may be shared with others.
        controller.enqueue(new Uint8Array(handedOn(chunk)));
        return;
      }
    },
    cancel(reason) {
      onlooker?.ended();
      return rest.cancel(reason);
    },
  });
}
