import type { ExecutionGuard } from '../guard/execution-guard.ts';

/** What the journal needs of the router's logger. */
export interface RouterLogger {
  info(message: string): void;
  warn(message: string): void;
}

/** Writes into the router's log what the guard does. Keys go by their ids. */
export class Journal {
  #logger: RouterLogger | undefined;
  /** What there was to say before the router had handed out its logger. */
  readonly #early: { readonly level: keyof RouterLogger; readonly message: string }[] = [];

  follow(guard: ExecutionGuard): void {
    for (const [pattern, { keys }] of Object.entries(guard.getStats().keys)) {
      this.#write('info', `pool ${JSON.stringify(pattern)} has ${keys.length} key${keys.length === 1 ? '' : 's'}`);
    }
    guard.on('key', ({ pool, keyId, group, model, from, to, reason }) => {
      const whose = group === undefined ? `key ${keyId}` : `group ${group}`;
      const what = model === undefined ? whose : `${whose} for ${model}`;
      this.#write('info', `pool ${JSON.stringify(pool)}: ${what}: ${from} -> ${to}, ${reason}`);
    });
    guard.on('failover', ({ provider, from, to, fault }) => {
      this.#write('info', `${provider}: on from key ${from} to key ${to}: ${fault}`);
    });
    guard.on('breaker', ({ provider, state }) => {
      this.#write('warn', `${provider}: circuit breaker ${state}`);
    });
  }

  warn(message: string): void {
    this.#write('warn', message);
  }

  writeTo(logger: RouterLogger): void {
    this.#logger = logger;
    for (const { level, message } of this.#early.splice(0)) this.#write(level, message);
  }

  #write(level: keyof RouterLogger, message: string): void {
    if (this.#logger) this.#logger[level](`execution-guard: ${message}`);
    else this.#early.push({ level, message });
  }
}
