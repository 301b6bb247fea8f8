import { isRecord } from '../faults/safe-read.ts';

/** Who has asked a dispatcher and hears of the answer, whatever kind of handler it is. */
export interface Audience {
  /** It is of the kind that versions up to 6 know. */
  readonly isOlder: boolean;
  connected(abort: (reason?: unknown) => void, flow: Flow): void;
  /** @throws whatever the handler throws, as all of these do */
  headers(response: Response): void;
  data(chunk: Buffer): void;
  ended(): void;
  failed(error: unknown): void;
}

/** Holds an answer back while its reader cannot take more. */
export class Flow {
  private released: Promise<void> | undefined;
  private release: () => void = () => undefined;

  get isPaused(): boolean {
    return this.released !== undefined;
  }

  pause = (): void => {
    this.released ??= new Promise(resolve => {
      this.release = resolve;
    });
  };

  resume = (): void => {
    this.released = undefined;
    this.release();
  };

  async open(): Promise<void> {
    while (this.released) await this.released;
  }
}

type Method = (...args: readonly unknown[]) => unknown;

/** Undefined for what is no handler. */
export function audienceOf(handler: unknown): Audience | undefined {
  if (!isRecord(handler)) return undefined;
  const call = (name: string, ...args: readonly unknown[]): unknown => {
    const method = handler[name];
    return typeof method === 'function' ? Reflect.apply(method as Method, handler, args) : undefined;
  };
  if (typeof handler.onRequestStart === 'function') return audienceOfHandler(call);
  return typeof handler.onConnect === 'function' ? audienceOfLegacyHandler(call) : undefined;
}

/** Since undici 7: `onRequestStart`, `onResponseStart`... */
function audienceOfHandler(call: (name: string, ...args: readonly unknown[]) => unknown): Audience {
  let controller: object | undefined;
  return {
    isOlder: false,
    connected(abort, flow) {
      const state: { aborted: boolean; reason: unknown; rawHeaders: unknown; rawTrailers: unknown } = {
        aborted: false,
        reason: null,
        rawHeaders: null,
        rawTrailers: null,
      };
      controller = Object.defineProperty(
        Object.assign(state, {
          pause: flow.pause,
          resume: flow.resume,
          abort: (reason?: unknown) => {
            if (state.aborted) return;
            state.aborted = true;
            state.reason = reason;
            abort(reason);
          },
        }),
        'paused',
        { get: () => flow.isPaused },
      );
      call('onRequestStart', controller, {});
    },
    headers(response) {
      if (controller) Reflect.set(controller, 'rawHeaders', rawHeaders(response));
      call('onResponseStarted');
      call('onResponseStart', controller, response.status, headersByName(response), response.statusText);
    },
    data: chunk => void call('onResponseData', controller, chunk),
    ended: () => void call('onResponseEnd', controller, {}),
    failed: error => void call('onResponseError', controller, error),
  };
}

/** Up to undici 7: `onConnect`, `onHeaders`... */
function audienceOfLegacyHandler(call: (name: string, ...args: readonly unknown[]) => unknown): Audience {
  let flow = new Flow();
  const pausing = (more: unknown): void => {
    if (more === false) flow.pause();
  };
  return {
    isOlder: true,
    connected(abort, given) {
      flow = given;
      call('onConnect', abort, {});
    },
    headers(response) {
      call('onResponseStarted');
      pausing(call('onHeaders', response.status, rawHeaders(response), flow.resume, response.statusText));
    },
    data: chunk => pausing(call('onData', chunk)),
    ended: () => void call('onComplete', []),
    failed: error => void call('onError', error),
  };
}

function rawHeaders({ headers }: Response): Buffer[] {
  return [...headers].flatMap(pair => pair.map(text => Buffer.from(text, 'latin1')));
}

function headersByName({ headers }: Response): Record<string, string | string[]> {
  const byName: Record<string, string | string[]> = Object.fromEntries(headers);
  const cookies = headers.getSetCookie();
  if (cookies.length > 0) byName['set-cookie'] = cookies;
  return byName;
}
