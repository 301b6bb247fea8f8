import type { FaultProfile } from '../faults/fault.ts';
import { Redactor } from '../keys/redaction.ts';
import { pastFirstEvent } from './first-event.ts';
import { passage } from './passage.ts';
import { NO_RETRY } from './refusal.ts';
import type { Report } from './report.ts';
import { uploadIn } from './resources.ts';
import { isJson, mediaType, rebuilt, webBody } from './response.ts';
import { JsonUsage } from './usage.ts';

/** The answer of one attempt, as the guard is to judge it: an error at the start of a stream is an error. */
export function received(response: Response, report: Report, secret?: string): Promise<Response> | Response {
  const upload = uploadIn(response);
  if (upload !== undefined) report.made(upload);
  const body = response.ok ? webBody(response) : undefined;
  if (!body) return response;
  const type = mediaType(response);
  if (type === 'text/event-stream' && response.status === 200) return pastFirstEvent(response, body, report, secret);
  if (!isJson(type) || !JsonUsage.suits(response)) return response;
  return rebuilt(response, passage({ head: [], rest: body.getReader() }, new JsonUsage(report)));
}

/**
 * What goes back to the caller. Of an answer that may repeat a key, the address, the headers and the body are
 * searched for those that were sent; a good answer is handed on as it is.
 */
export async function handedOn(
  response: Response,
  secrets: readonly string[],
  { profile, isKeyInUrl }: { readonly profile: FaultProfile; readonly isKeyInUrl: boolean },
): Promise<Response> {
  const isFailure = response.status >= 400;
  // Some providers say 200 and mean an error.
  const mayMeanFailure =
    secrets.length > 0 && profile.errorInSuccess !== undefined && mediaType(response) !== 'text/event-stream';
  if (response.status < 300 && !isKeyInUrl && !mayMeanFailure) return response;
  const redactor = new Redactor(secrets);
  const headers = new Headers();
  for (const [name, value] of response.headers) headers.append(name, redactor.headerText(value));
  if (isFailure) headers.set(...NO_RETRY);
  const changes = { headers, url: redactor.headerText(response.url) };
  const body = response.body === null ? null : (webBody(response) ?? (await response.arrayBuffer()));
  if (!(body instanceof ReadableStream) || !(isFailure || mayMeanFailure)) return rebuilt(response, body, changes);
  // The mask is not as long as the key.
  headers.delete('content-length');
  return rebuilt(response, body.pipeThrough(redactor.stream()), changes);
}
