import type { Provider } from '../../support/loopback/index.ts';

/** One SDK, told apart from the others by as little as possible. */
export interface Adapter {
  readonly name: string;
  /** What the pool is called, and a placeholder that names it. */
  readonly pool: string;
  /** Where the SDK sends its requests when nobody tells it otherwise. */
  readonly host: string;
  readonly server: () => Provider<never>;
  readonly secret: (label: string) => string;
  readonly connect: (options: Connection) => Client;
  /** The status of an error of the SDK's own; undefined for any other error. */
  readonly status: (error: unknown) => number | undefined;
  /** The calls the guard is asked for by one of the caller's that fails with 5xx, where retries are left to the SDK. */
  readonly callsWithOwnRetries: number;
  /** The path an upload goes to, the last one where there are several; else why there is none. */
  readonly upload: { readonly path: string } | { readonly none: string };
}

export interface Connection {
  readonly apiKey: string;
  readonly fetch: typeof fetch;
  /** The origin of a server at another address than the provider's own. */
  readonly origin: string | undefined;
  /** Whether the SDK is told not to retry, as the documentation advises. */
  readonly ownRetries: boolean;
}

export interface Client {
  readonly say: (prompt: string) => Promise<string>;
  /** The pieces of the answer. */
  readonly stream: (prompt: string, signal: AbortSignal) => AsyncIterable<string>;
  /** Present where the adapter has an upload. */
  readonly upload?: (file: File) => Promise<unknown>;
}

/** `prefix`, and more than enough characters for any key. */
export function fakeSecret(prefix: string): (label: string) => string {
  return (label) => `${prefix}${'FAKE'.repeat(10)}-${label}`;
}
