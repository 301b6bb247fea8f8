import { fork, type ChildProcess } from 'node:child_process';
import type { Address } from './address.ts';
import { guardProgram } from './guard-program.ts';

/** What the other process is told to do. */
export type Order =
  | { readonly do: 'start'; readonly at: Address | undefined; readonly guard: unknown; readonly store?: object }
  | { readonly do: 'call'; readonly times: number; readonly options: object; readonly upstream: Upstream }
  | { readonly do: 'show'; readonly pool: string }
  | { readonly do: 'close' };

/** What the provider answers a call in the other process: at once, never, or a status by key. */
export type Upstream = 'answer' | 'hold' | { readonly status: Readonly<Record<string, number>> };

/** One call of the other process. */
export interface Called {
  readonly ok: boolean;
  /** The keys its attempts had. */
  readonly keys: readonly string[];
  readonly code?: string;
  readonly durationMs: number;
}

/** Another process, with a guard of its own, that does what it is told. */
export class GuardProcess {
  readonly warnings: string[] = [];
  private readonly child: ChildProcess;
  private readonly answers = new Map<number, (answer: unknown) => void>();
  private readonly listeners = new Set<(event: Readonly<Record<string, unknown>>) => void>();
  private orders = 0;

  private constructor(program: string) {
    this.child = fork(program, { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.child.on('message', (message: { id?: number; answer?: unknown; event?: Record<string, unknown> }) => {
      if (message.id !== undefined) this.answers.get(message.id)?.(message.answer);
      const { event } = message;
      if (!event) return;
      if (typeof event['warning'] === 'string') this.warnings.push(event['warning']);
      for (const hear of this.listeners) hear(event);
    });
  }

  /** `at` undefined: it shares nothing. */
  static async start(at: Address | undefined, guard: unknown, store: object = {}): Promise<GuardProcess> {
    const process = new GuardProcess(await guardProgram());
    await process.tell({ do: 'start', at, guard, store });
    return process;
  }

  /** Makes so many calls at once. */
  async call(times: number, options: object, upstream: Upstream = 'answer'): Promise<readonly Called[]> {
    return (await this.tell({ do: 'call', times, options, upstream })) as readonly Called[];
  }

  /** The states of a pool's keys, by id. */
  async states(pool: string): Promise<Readonly<Record<string, string>>> {
    return (await this.tell({ do: 'show', pool })) as Readonly<Record<string, string>>;
  }

  /** Resolves with the first event that fits. */
  event(fits: (event: Readonly<Record<string, unknown>>) => boolean): Promise<Readonly<Record<string, unknown>>> {
    return new Promise(resolve => {
      const hear = (event: Readonly<Record<string, unknown>>): void => {
        if (!fits(event)) return;
        this.listeners.delete(hear);
        resolve(event);
      };
      this.listeners.add(hear);
    });
  }

  /** As a program that has done its work. */
  async end(): Promise<void> {
    const ended = new Promise(resolve => this.child.once('exit', resolve));
    await this.tell({ do: 'close' });
    this.child.disconnect();
    await ended;
  }

  /** As a crash would: nothing is given back. */
  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise(resolve => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await ended;
  }

  private tell(order: Order): Promise<unknown> {
    const id = this.orders++;
    return new Promise((resolve, reject) => {
      const onExit = (): void => reject(new Error('The process has ended'));
      this.child.once('exit', onExit);
      this.answers.set(id, answer => {
        this.child.off('exit', onExit);
        this.answers.delete(id);
        resolve(answer);
      });
      this.child.send({ id, order });
    });
  }
}
