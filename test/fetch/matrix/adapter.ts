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
  /** How often the guard is asked for a call of the caller's that fails, where retries are left to the SDK. */
  readonly ownRetries: { readonly onServerError: number; readonly onNetworkError: number };
  /** When the SDK gives up a request by itself, unless told otherwise. */
  readonly timeoutMs: number | 'never';
  /** The path an upload goes to, the last one where there are several; else why there is none. */
  readonly upload: { readonly path: string } | { readonly none: string };
}

export interface Connection {
  readonly apiKey: string;
  readonly fetch: typeof fetch;
  /** The origin of a server at another address than the provider's own. */
  readonly origin: string | undefined;
  /** False: the SDK is told not to retry, as the documentation advises. */
  readonly retries: boolean;
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
