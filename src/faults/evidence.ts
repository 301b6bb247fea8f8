import type { Clock } from '../clock.ts';
import { connectionTrouble } from './connection.ts';
import type { ErrorSketch } from './connection.ts';
import type { Evidence, HeaderReader } from './fault.ts';
import { headerReader, noHeaders } from './headers.ts';
import { parseJson, readBody, unwrapBody } from './read-body.ts';
import { isResponse, responseStatus, responseText } from './response-text.ts';
import { isRecord, plainCopy, property, safely } from './safe-read.ts';

/** How an attempt ended: with a value, or with whatever was thrown. */
export type Outcome = { readonly value: unknown } | { readonly error: unknown };

const MAX_CAUSES = 8;
const MAX_TEXT = 64 * 1024;

/** Where SDK errors keep the body of the answer, and, for genai and axios, the answer itself. */
const BODY_FIELDS = ['error', 'body', 'responseBody', 'data'];
const RESPONSE_BODY_FIELDS = ['data', 'body'];

/** True for a Response whose status is 400 or more; every other value is a success. */
export function isFailureValue(value: unknown): boolean {
  return (responseStatus(value) ?? 0) >= 400;
}

/**
 * Reads what an outcome says, from a Response, an SDK's error with its causes, or anything else that
 * can be thrown. Never throws. The result is a promise only where a Response's body has to be read:
 * from a clone, 64 KB and 2 s at most.
 */
export function readEvidence(outcome: Outcome, clock: Clock): Evidence | Promise<Evidence> {
  const subject = 'error' in outcome ? outcome.error : outcome.value;
  if (isResponse(subject)) return responseEvidence(subject, clock);
  if ('error' in outcome) return errorEvidence(subject, clock);
  return { header: noHeaders, text: '', timedOut: false, aborted: false };
}

/**
 * What a success says that is an error after all, by the profile's `errorInSuccess`; undefined for any
 * other. Looked into are a parsed body, the `data` of a client's answer such as axios's, and the body of
 * a Response: from a clone, 64 KB and 2 s at most, never an event stream. Never throws.
 */
export function readErrorInSuccess(
  value: unknown,
  errorInSuccess: (body: unknown) => unknown,
  clock: Clock,
): Evidence | undefined | Promise<Evidence | undefined> {
  const errorOf = (body: unknown): unknown => (isRecord(body) ? safely(() => errorInSuccess(body)) : undefined);
  if (isResponse(value)) return mayHoldError(value) ? errorInBodyOf(value, errorOf, clock) : undefined;
  const error = errorOf(value) ?? errorOf(property(value, 'data'));
  return error === undefined ? undefined : successEvidence(error, headersOf(value));
}

/** The headers of an answer: a Response, what a client such as axios resolves to, or what an SDK puts beside the data. */
export function headersOfAnswer(value: unknown): HeaderReader | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  return headerReader(ownHeaders(value)) ?? headerReader(property(ownResponse(value), 'headers'));
}

// Most answers have neither. Each is read by its name, which costs every call less than `property` would.
function ownHeaders(answer: { readonly headers?: unknown }): unknown {
  try {
    return answer.headers;
  } catch {
    return undefined;
  }
}

function ownResponse(answer: { readonly response?: unknown }): unknown {
  try {
    return answer.response;
  } catch {
    return undefined;
  }
}

async function errorInBodyOf(
  response: Response,
  errorOf: (body: unknown) => unknown,
  clock: Clock,
): Promise<Evidence | undefined> {
  const error = errorOf(parseJson(await responseText(response, clock)));
  if (error === undefined) return undefined;
  return successEvidence(error, headersOf(response), pathOf(property(response, 'url')));
}

function mayHoldError(response: Response): boolean {
  const header = headersOf(response);
  const isStream = header?.('content-type')?.includes('event-stream') === true;
  return !isStream && !(Number(header?.('content-length')) > MAX_TEXT);
}

function successEvidence(error: unknown, header = noHeaders, path?: string): Evidence {
  const body = plainCopy(error);
  const inner = property(body, 'error');
  // OpenRouter puts in the body the status it had no more chance to send.
  const code = property(inner, 'code');
  const status = typeof code === 'number' ? httpStatus(code) : undefined;
  return {
    ...(status !== undefined && { status }),
    header,
    body,
    text: readBody(body).message ?? '',
    timedOut: false,
    aborted: false,
    ...(path !== undefined && { path }),
  };
}

function responseEvidence(response: Response, clock: Clock): Evidence | Promise<Evidence> {
  const status = httpStatus(responseStatus(response));
  const path = pathOf(property(response, 'url'));
  const evidence: Evidence = {
    ...(status !== undefined && { status }),
    header: headersOf(response) ?? noHeaders,
    text: '',
    timedOut: false,
    aborted: false,
    ...(path !== undefined && { path }),
  };
  return status === undefined ? evidence : withBodyOf(response, evidence, clock);
}

async function withBodyOf(response: Response, evidence: Evidence, clock: Clock): Promise<Evidence> {
  const text = await responseText(response, clock);
  const body = unwrapBody(parseJson(text));
  return { ...evidence, ...(body !== undefined && { body }), text: joined(evidence.text, text) };
}

function errorEvidence(error: unknown, clock: Clock): Evidence | Promise<Evidence> {
  const chain = causesOf(error);
  const status = first(chain, statusOf);
  const content = first(chain, bodyOf) ?? {};
  const sketches = chain.map(sketch);
  // An answer with a status outweighs whatever went wrong on the line around it.
  const trouble = status === undefined ? connectionTrouble(sketches) : undefined;
  const message = typeof error === 'string' ? error : sketches.map(({ message: words }) => words).join('\n');
  const path = first(chain, requestPath);
  const evidence: Evidence = {
    ...(status !== undefined && { status }),
    header: first(chain, headersOf) ?? noHeaders,
    ...(content.body !== undefined && { body: content.body }),
    text: joined(message, content.text ?? ''),
    ...(trouble?.kind === 'network' && { networkCode: trouble.code }),
    timedOut: trouble?.kind === 'timeout',
    aborted: trouble?.kind === 'aborted',
    ...(path !== undefined && { path }),
  };
  const response = content.body === undefined ? first(chain, unreadResponse) : undefined;
  return response ? withBodyOf(response, evidence, clock) : evidence;
}

/** The error and its causes, outermost first. A retrying SDK keeps the last error in `lastError`. */
function causesOf(error: unknown): unknown[] {
  const chain: unknown[] = [];
  let current = error;
  while (typeof current === 'object' && current !== null && chain.length < MAX_CAUSES && !chain.includes(current)) {
    chain.push(current);
    current = property(current, 'cause') ?? property(current, 'lastError');
  }
  return chain;
}

function first<T>(chain: readonly unknown[], read: (error: unknown) => T | undefined): T | undefined {
  for (const error of chain) {
    const found = read(error);
    if (found !== undefined) return found;
  }
  return undefined;
}

function statusOf(error: unknown): number | undefined {
  const response = property(error, 'response');
  const code = property(error, 'code');
  const awsStatus = property(property(error, '$metadata'), 'httpStatusCode');
  return (
    httpStatus(property(error, 'status')) ??
    httpStatus(property(error, 'statusCode')) ??
    httpStatus(property(response, 'status')) ??
    httpStatus(property(response, 'statusCode')) ??
    httpStatus(awsStatus) ??
    (typeof code === 'number' ? httpStatus(code) : undefined)
  );
}

/** An HTTP error status; exit codes, DOMException's codes and Google's status names are none. */
function httpStatus(value: unknown): number | undefined {
  const status = typeof value === 'string' && /^\d{3}$/.test(value) ? Number(value) : value;
  return typeof status === 'number' && Number.isInteger(status) && status >= 400 && status <= 599 ? status : undefined;
}

function headersOf(error: unknown): HeaderReader | undefined {
  return (
    headerReader(property(error, 'headers')) ??
    headerReader(property(error, 'responseHeaders')) ??
    headerReader(property(property(error, 'response'), 'headers')) ??
    headerReader(property(property(error, '$response'), 'headers'))
  );
}

interface Content {
  readonly body?: unknown;
  readonly text?: string;
}

function bodyOf(error: unknown): Content | undefined {
  const response = property(error, 'response');
  const candidates = [
    ...BODY_FIELDS.map((name) => property(error, name)),
    ...RESPONSE_BODY_FIELDS.map((name) => property(response, name)),
  ];
  let text: string | undefined;
  for (const candidate of candidates) {
    if (typeof candidate === 'string' && candidate !== '') {
      const bounded = candidate.slice(0, MAX_TEXT);
      const body = unwrapBody(parseJson(bounded));
      if (body !== undefined) return { body, text: bounded };
      text ??= bounded;
    } else {
      const body = unwrapBody(plainCopy(candidate));
      if (body !== undefined) return { body, text: readBody(body).message ?? '' };
    }
  }
  const kept = googleDetails(error) ?? awsException(error) ?? jsonMessage(error);
  return kept ?? (text === undefined ? undefined : { text });
}

/** The AWS SDK keeps of the body the name and the message; `$metadata` tells its errors from others. */
function awsException(error: unknown): Content | undefined {
  const name = property(error, 'name');
  if (typeof name !== 'string' || !isRecord(property(error, '$metadata'))) return undefined;
  return { body: { __type: name, message: messageOf(error) } };
}

/** `@google/generative-ai` keeps only the details of the body. */
function googleDetails(error: unknown): Content | undefined {
  const details = plainCopy(property(error, 'errorDetails'));
  return Array.isArray(details) ? { body: { error: { details, message: messageOf(error) } } } : undefined;
}

function jsonMessage(error: unknown): Content | undefined {
  const body = unwrapBody(parseJson(messageOf(error)));
  return body === undefined ? undefined : { body, text: readBody(body).message ?? '' };
}

/** fetch tells it on the Response, axios on the request's configuration. */
function requestPath(error: unknown): string | undefined {
  return pathOf(property(property(error, 'response'), 'url')) ?? pathOf(property(property(error, 'config'), 'url'));
}

/** The path alone: the query of a URL may hold a key or a signature. */
function pathOf(url: unknown): string | undefined {
  if (typeof url !== 'string' || url === '') return undefined;
  return safely(() => new URL(url, 'http://localhost').pathname);
}

function unreadResponse(error: unknown): Response | undefined {
  if (isResponse(error)) return error;
  const response = property(error, 'response');
  return isResponse(response) ? response : undefined;
}

function sketch(error: unknown): ErrorSketch {
  const names = [property(error, 'name'), property(property(error, 'constructor'), 'name')];
  const code = property(error, 'code');
  return {
    names: names.filter((name) => typeof name === 'string'),
    code: typeof code === 'string' ? code : undefined,
    message: messageOf(error),
  };
}

function messageOf(error: unknown): string {
  const message = property(error, 'message');
  return typeof message === 'string' ? message.slice(0, MAX_TEXT) : '';
}

function joined(message: string, body: string): string {
  return (message !== '' && body !== '' ? `${message}\n${body}` : message + body).slice(0, MAX_TEXT);
}
