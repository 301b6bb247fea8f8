import type { IncomingRequest } from './http-host.ts';

export interface FormField {
  readonly filename: string | undefined;
  readonly content: Buffer;
}

/** The fields of a multipart/form-data body by name; empty where the body is anything else. */
export function readForm({ body, headers }: IncomingRequest): ReadonlyMap<string, FormField> {
  const fields = new Map<string, FormField>();
  const boundary = /^multipart\/form-data;.*boundary="?([^";]+)"?/i.exec(headers['content-type'] ?? '')?.[1];
  if (boundary === undefined) return fields;
  // latin1 keeps every byte of a file as one character.
  for (const part of body.toString('latin1').split(`--${boundary}`)) {
    const headEnd = part.indexOf('\r\n\r\n');
    const head = part.slice(0, Math.max(0, headEnd));
    const name = /\bname="([^"]*)"/i.exec(head)?.[1];
    if (name === undefined) continue;
    const content = Buffer.from(part.slice(headEnd + 4, part.lastIndexOf('\r\n')), 'latin1');
    fields.set(name, { filename: /\bfilename="([^"]*)"/i.exec(head)?.[1], content });
  }
  return fields;
}
