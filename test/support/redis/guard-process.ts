// A process with a guard of its own; see process.ts.
import { redisStore } from '../../../src/redis.ts';
import { ExecutionGuard, GuardError, type ExecuteOptions, type ExecutionGuardConfig } from '../../../src/index.ts';
import { storeAt } from './address.ts';
import type { Called, Order, Upstream } from './process.ts';

let guard: ExecutionGuard | undefined;

process.on('message', ({ id, order }: { id: number; order: Order }) => {
  void obey(order).then(answer => process.send?.({ id, answer }));
});

// Whoever has started it is gone.
process.once('disconnect', () => process.exit());

/** By a clock that all processes of the machine have in common, in ms. */
function tell(event: object): void {
  process.send?.({ event: { ...event, at: Number(process.hrtime.bigint()) / 1e6 } });
}

async function obey(order: Order): Promise<unknown> {
  if (order.do === 'start') {
    const { at, store } = order;
    const config: ExecutionGuardConfig = {
      ...(order.guard as object),
      ...(at !== undefined && { store: redisStore({ ...storeAt(at), ...store }) }),
    };
    guard = new ExecutionGuard(config, { warn: warning => tell({ warning }) });
    guard.on('key', event => tell({ ...event }));
    guard.on('breaker', event => tell({ ...event }));
    return undefined;
  }
  if (!guard) throw new Error('Not started');
  if (order.do === 'close') {
    guard.close();
    return undefined;
  }
  if (order.do === 'show') {
    return Object.fromEntries(guard.explain(order.pool).keys.map(({ id, state }) => [id, state]));
  }
  return Promise.all(Array.from({ length: order.times }, () => call(order.options, order.upstream)));
}

async function call(options: ExecuteOptions, upstream: Upstream): Promise<Called> {
  const keys: string[] = [];
  const since = performance.now();
  const done = (outcome: Pick<Called, 'ok' | 'code'>): Called => ({ ...outcome, keys, durationMs: performance.now() - since });
  try {
    await guard!.execute(({ keyId = '' }) => {
      keys.push(keyId);
      tell({ upstream: keyId });
      if (upstream === 'hold') return new Promise<string>(() => undefined);
      const status = upstream === 'answer' ? 200 : (upstream.status[keyId] ?? 200);
      if (status !== 200) tell({ refused: keyId });
      return status === 200 ? 'answer' : Promise.reject(Object.assign(new Error(`HTTP ${status}`), { status }));
    }, options);
    return done({ ok: true });
  } catch (error) {
    return done({ ok: false, code: error instanceof GuardError ? error.code : String(error) });
  }
}
