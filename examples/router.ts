// Run: npx tsx examples/router.ts
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ExecutionGuard, GuardError } from 'execution-guard';

const guard = new ExecutionGuard({
  rateLimiting: { rules: { perMinute: 3 } },
  keyManagement: { providers: { '*gemini*': { keys: [{ id: 'ann', key: 'secret-1' }, { id: 'ben', key: 'secret-2' }] } } },
});

/** Stands for the provider: one of the two keys is not valid. */
function callProvider(apiKey: string | undefined, prompt: string): Response {
  if (apiKey === 'secret-1') return new Response('unknown key', { status: 401 });
  return Response.json({ answer: `You said: ${prompt}` });
}

const statusOf: Partial<Record<GuardError['code'], number>> = {
  RATE_LIMITED: 429,
  QUEUE_FULL: 503,
  CIRCUIT_OPEN: 503,
  POOL_EXHAUSTED: 503,
  DEADLINE_EXCEEDED: 504,
  ATTEMPT_TIMEOUT: 504,
};

async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
  let body = '';
  for await (const chunk of req) body += String(chunk);
  // With its body, the request tells equal calls from others; headers say who asks.
  const { method, url, headers } = req;
  const request = { method, url, headers, body, ip: req.socket.remoteAddress };
  const upstream = await guard.execute(({ apiKey }) => callProvider(apiKey, body), {
    req: request,
    providerName: 'google-gemini',
    deadlineMs: 10_000,
  });
  res.writeHead(upstream.status, { 'content-type': upstream.headers.get('content-type') ?? 'text/plain' });
  res.end(await upstream.text());
}

function refuse(error: unknown, res: ServerResponse): void {
  const status = (error instanceof GuardError && statusOf[error.code]) || 500;
  const retryAfterMs = error instanceof GuardError ? error.retryAfterMs : undefined;
  if (retryAfterMs !== undefined) res.setHeader('retry-after', Math.ceil(retryAfterMs / 1000));
  res.writeHead(status);
  res.end(error instanceof GuardError ? error.message : 'Internal error');
}

const server = createServer((req, res) => {
  handle(req, res).catch((error: unknown) => refuse(error, res));
});
await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
const { port } = server.address() as AddressInfo;

for (const prompt of ['one', 'two', 'three', 'four']) {
  const answer = await fetch(`http://127.0.0.1:${port}/v1/chat`, { method: 'POST', body: prompt });
  console.log(answer.status, await answer.text());
}
for (const { id, state } of guard.explain('google-gemini').keys) console.log(id, state);

server.close();
guard.close();
