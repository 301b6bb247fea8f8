import type { Target } from './request.ts';

/** A request as the guard's options see it: as `req`, for affinity. */
export class SeenRequest {
  readonly url: string;
  readonly headers: Headers;
  private readonly content: unknown;
  private parsed: { readonly body: unknown } | undefined;

  constructor({ url, headers }: Pick<Target, 'url' | 'headers'>, content: unknown) {
    this.url = url.href;
    this.headers = headers;
    this.content = content;
  }

  /** Parsed where it is JSON, and only where somebody asks. */
  get body(): unknown {
    return (this.parsed ??= { body: parsed(this.content) }).body;
  }
}

function parsed(content: unknown): unknown {
  const text = content instanceof Uint8Array ? Buffer.from(content).toString() : content;
  if (typeof text !== 'string') return content;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
