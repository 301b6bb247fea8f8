/** What the names, codes and messages of an error and its causes say about the connection. */
export type ConnectionTrouble =
  | { readonly kind: 'aborted' }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'network'; readonly code: string };

/** One error of a chain of causes, as plain text. */
export interface ErrorSketch {
  /** The error's `name` and its constructor's: SDK errors often set only one. */
  readonly names: readonly string[];
  readonly code: string | undefined;
  readonly message: string;
}

const ABORTS = new Set(['AbortError', 'APIUserAbortError', 'CanceledError']);
const ABORT_CODES = new Set(['ABORT_ERR', 'ERR_CANCELED', 'UND_ERR_ABORTED']);
const TIMEOUTS = new Set(['TimeoutError', 'APIConnectionTimeoutError']);

const SOCKET_CODES = new Set([
  'EADDRNOTAVAIL',
  'EAI_AGAIN',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'EPROTO',
  'ERR_SOCKET_CONNECTION_TIMEOUT',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ETIMEDOUT',
]);
// UND_ERR_INVALID_ARG and its like are the caller's mistakes, not the connection's.
const UNDICI_CODE = /^UND_ERR_(?!ABORTED|INVALID_|NOT_SUPPORTED|REQ_)/;
const TLS_CODE = /^(?:CERT_|CRL_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|HOSTNAME_MISMATCH$)|SELF_SIGNED_CERT/;
const FETCH_FAILED = /\bfetch failed\b|^terminated$/;

/**
 * Reads an error and its causes, outermost first; undefined where they speak of nothing of the kind.
 * A timeout wins over the abort that carried it out, and both win over the socket they closed.
 */
export function connectionTrouble(chain: readonly ErrorSketch[]): ConnectionTrouble | undefined {
  if (chain.some(isTimeout)) return { kind: 'timeout' };
  if (chain.some(isAbort)) return { kind: 'aborted' };
  const code = chain.find((error) => error.code !== undefined && isNetworkCode(error.code))?.code;
  if (code !== undefined) return { kind: 'network', code };
  // A code that is none of the network's, such as ERR_INVALID_URL, says that nothing was ever sent.
  const unexplained = chain.every((error) => error.code === undefined);
  return unexplained && chain.some(isFailedFetch) ? { kind: 'network', code: 'FETCH_FAILED' } : undefined;
}

function isNetworkCode(code: string): boolean {
  return SOCKET_CODES.has(code) || UNDICI_CODE.test(code) || TLS_CODE.test(code);
}

// Bundlers rename classes, and the OpenAI SDK sets no `name`: its fixed messages are the last resort.
function isTimeout({ names, message }: ErrorSketch): boolean {
  return names.some((name) => TIMEOUTS.has(name)) || message.startsWith('Request timed out.');
}

function isAbort({ names, code, message }: ErrorSketch): boolean {
  return (
    names.some((name) => ABORTS.has(name)) ||
    (code !== undefined && ABORT_CODES.has(code)) ||
    message === 'Request was aborted.'
  );
}

function isFailedFetch({ names, message }: ErrorSketch): boolean {
  return names.includes('APIConnectionError') || (names.includes('TypeError') && FETCH_FAILED.test(message));
}
