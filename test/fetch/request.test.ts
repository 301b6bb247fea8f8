import { Agent, fetch as undiciFetch, Request as UndiciRequest, type Dispatcher } from 'undici';
import { describe, expect, test } from 'vitest';
import { opened, scriptedWorld } from './support.ts';

/** A proxy, as far as a request can tell: it notes what goes through it. */
class Proxy extends Agent {
  readonly passed: string[] = [];

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.passed.push(options.path);
    return super.dispatch(options, handler);
  }
}

const globalDispatcher = (): Dispatcher =>
  Reflect.get(globalThis, Symbol.for('undici.globalDispatcher.1')) as Dispatcher;

describe('the dispatcher of a Request is not passed by', () => {
  const headers = { authorization: 'Bearer guard' };

  test('by the platform, wherever it is redirected', async () => {
    const passed: string[] = [];
    const dispatch: Dispatcher['dispatch'] = (options, handler) => {
      passed.push(options.path);
      return globalDispatcher().dispatch(options, handler);
    };
    const { server, fetch } = await scriptedWorld([{ status: 307, headers: { location: '/there' } }, {}]);
    const request = new Request(`${server.url}/here`, Object.fromEntries([['dispatcher', { dispatch }]]));
    expect((await fetch(request, { headers })).status).toBe(200);
    expect(passed).toEqual(['/here', '/there']);
  });

  test('where nobody can see it: that of newer versions of undici', async () => {
    const proxy = opened(new Proxy());
    const { server, fetch, used } = await scriptedWorld([{ status: 401 }, {}], {
      fetch: undiciFetch as unknown as typeof globalThis.fetch,
    });
    const request = new UndiciRequest(`${server.url}/here`, { method: 'POST', body: 'hello', headers, dispatcher: proxy });
    expect((await fetch(request as unknown as Request)).status).toBe(200);
    expect(proxy.passed).toEqual(['/here', '/here']);
    expect(used()).toEqual(['ann', 'ben']);
    expect(server.requests.map(({ method, body }) => [method, body.toString()])).toEqual([['POST', 'hello'], ['POST', 'hello']]);
  });
});

test('an option that is undefined leaves what the Request says', async () => {
  const { server, fetch } = await scriptedWorld([{}]);
  await fetch(new Request(server.url, { method: 'POST', body: 'hello' }), Object.fromEntries([['method', undefined], ['body', undefined]]));
  expect(server.requests.map(({ method, body }) => [method, body.toString()])).toEqual([['POST', 'hello']]);
});
