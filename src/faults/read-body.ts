import type { HeaderReader } from './fault.ts';
import { isRecord } from './safe-read.ts';

/** The machine-readable part of a provider's error body. */
export interface ErrorBody {
  /** Codes, types, statuses, reasons and quota ids, as they stand; numbers as decimal text. */
  readonly codes: readonly string[];
  /** The provider's own words. */
  readonly message: string | undefined;
}

/** Google's `@type` of a detail ends in one of these names. */
type GoogleDetail = 'ErrorInfo' | 'QuotaFailure' | 'RetryInfo';

/**
 * The JSON of a text, else of the JSON a text ends with (`got status: 429. {...}`); undefined where
 * there is none. What is not an object or an array says nothing and counts as none.
 */
export function parseJson(text: string): unknown {
  const trimmed = text.trim();
  if (!trimmed.endsWith('}') && !trimmed.endsWith(']')) return undefined;
  return parseStructure(trimmed) ?? parseStructure(trimmed.slice(Math.max(0, trimmed.indexOf('{'))));
}

function parseStructure(text: string): unknown {
  if (!text.startsWith('{') && !text.startsWith('[')) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * The body inside its wrappers: Google puts an array around an error now and then, and
 * `@google/genai` puts the text of a body it took for plain text into an `error.message` of its own.
 */
export function unwrapBody(body: unknown): unknown {
  let inner = firstOf(body);
  for (let wrappers = 0; wrappers < 3; wrappers++) {
    const nested = firstOf(parseStructure(messageIn(inner)?.trim() ?? ''));
    // Other JSON in a message is the provider's wording, such as a list of validation issues.
    if (!isRecord(nested) || !isRecord(nested.error)) break;
    inner = nested;
  }
  return inner;
}

function firstOf(body: unknown): unknown {
  return Array.isArray(body) ? (body as unknown[])[0] : body;
}

/**
 * Reads the error bodies of OpenAI (`error.code`, `error.type`; the SDK hands over the inner object
 * alone), Anthropic (`error.type`, `error.details.error_code`) and Google (`error.status`,
 * `error.details[]`), the lists of Kraken (`error: ['EAPI:Invalid key']`) and Coinbase (`errors[].id`),
 * and the flat `{ code, type, message }` and `{ error: 'text' }` of others.
 */
export function readBody(body: unknown): ErrorBody {
  const codes: string[] = [];
  const add = (code: unknown): void => {
    if (typeof code === 'string' && code !== '') codes.push(code);
    else if (typeof code === 'number') codes.push(String(code));
  };
  if (isRecord(body)) {
    const error = errorIn(body);
    add(error.code);
    add(error.type);
    add(error.status);
    // AWS puts the shape's namespace before a `#`.
    if (typeof error.__type === 'string') add(error.__type.replace(/^.*#/, ''));
    if (isRecord(error.metadata)) add(error.metadata.error_type);
    if (isRecord(error.details)) add(error.details.error_code);
    for (const detail of records(error.details)) {
      add(detail.reason);
      if (isRecord(detail.metadata)) add(detail.metadata.quota_limit);
    }
    for (const violation of quotaViolations(body)) add(violation.quotaId);
    for (const item of records(error.errors)) {
      add(item.reason);
      add(item.id);
    }
    for (const text of texts(body.error)) add(text);
    if (error !== body) {
      add(body.code);
      add(body.type);
    }
  }
  return { codes, message: messageIn(body) };
}

/** Google's quota ids, such as `GenerateRequestsPerDayPerProjectPerModel-FreeTier`. */
export function quotaIdsOf(body: unknown): string[] {
  const ids = quotaViolations(body).map((violation) => violation.quotaId);
  const limits = googleDetails(body, 'ErrorInfo').map((info) =>
    isRecord(info.metadata) ? info.metadata.quota_limit : undefined,
  );
  return [...ids, ...limits].filter((id) => typeof id === 'string');
}

/** Google's `RetryInfo.retryDelay`, such as `38s`. */
export function retryDelayOf(body: unknown): string | undefined {
  return googleDetails(body, 'RetryInfo')
    .map((info) => info.retryDelay)
    .find((delay) => typeof delay === 'string');
}

/** Google's `QuotaFailure.violations`. */
export function quotaViolations(body: unknown): Record<string, unknown>[] {
  return googleDetails(body, 'QuotaFailure').flatMap((failure) => records(failure.violations));
}

function googleDetails(body: unknown, name: GoogleDetail): Record<string, unknown>[] {
  const error = isRecord(body) && isRecord(body.error) ? body.error : body;
  if (!isRecord(error)) return [];
  return records(error.details).filter((detail) => {
    const type = detail['@type'];
    return typeof type === 'string' && type.endsWith(`.${name}`);
  });
}

/** The name AWS gives an error in a header, without the address that may follow it. */
export function amazonErrorType(header: HeaderReader): string | undefined {
  return header('x-amzn-errortype')?.split(':', 1)[0];
}

/** The record that holds code and message; Nasdaq has a name of its own for it. */
function errorIn(body: Record<string, unknown>): Record<string, unknown> {
  if (isRecord(body.error)) return body.error;
  return isRecord(body.quandl_error) ? body.quandl_error : body;
}

/** Where the words are: everybody's, AWS's, Binance's, and the three of Alpha Vantage. */
const MESSAGES = ['message', 'Message', 'msg', 'Error Message', 'Information', 'Note'];

function messageIn(body: unknown): string | undefined {
  if (!isRecord(body)) return undefined;
  if (typeof body.error === 'string') return body.error;
  const error = errorIn(body);
  for (const name of MESSAGES) {
    const message = error[name];
    if (typeof message === 'string') return message;
  }
  const listed = [...texts(body.error), ...records(body.errors).map(({ message }) => message)];
  return listed.find((text) => typeof text === 'string');
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function records(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}
