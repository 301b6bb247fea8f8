import { GuardedTraffic, type GuardedFetchOptions } from '../fetch/guarded-fetch.ts';
import type { Target } from '../fetch/request.ts';
import type { Destination } from '../fetch/route.ts';
import type { ExecutionGuard } from '../guard/execution-guard.ts';
import { OwnAttempts } from './own-attempts.ts';

/** Says which requests of the process are guarded, until it is closed, and sends them. */
export class Gate {
  private readonly attempts: OwnAttempts;
  private readonly traffic: GuardedTraffic;
  private readonly unwatch: () => void;
  private isOpen = true;

  constructor(guard: ExecutionGuard, options: GuardedFetchOptions) {
    this.attempts = new OwnAttempts(guard);
    this.traffic = new GuardedTraffic(guard, options, this.attempts.execute);
    this.unwatch = this.attempts.watch();
  }

  /** Undefined for a request that is to go out as it is. */
  destinationOf(target: Target | undefined): Destination | undefined {
    if (!this.isOpen || !target || this.attempts.isOwn(target)) return undefined;
    return this.traffic.destinationOf(target);
  }

  /** @param base what really sends */
  send(base: typeof fetch, target: Target, destination: Destination): Promise<Response> {
    return this.traffic.send(base, target, destination);
  }

  /** What others have kept of the global fetch and the dispatchers lets everything through from now on. */
  close(): void {
    this.isOpen = false;
    this.unwatch();
  }
}
