import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Clock, TimerHandle } from '../../clock.ts';
import type { BreakerListener, BreakerStore, PoolListener, PoolStore, StoreConnection, StoreHost } from '../store.ts';
import { Deadlines, TooLate } from './deadlines.ts';
import { PoolNames } from './names.ts';
import type { PoolLink } from './pool-link.ts';
import { RedisBreakers } from './redis-breakers.ts';
import { RedisPool } from './redis-pool.ts';
import { isCluster, type Client, type Script } from './script.ts';

class ConnectionClosed extends Error {}

/** So long at least a server is waited for that is still to hear something when all is over. */
const LEAST_LEAVE_MS = 250;
const FIRST_PROBE_MS = 100;
const LONGEST_PROBE_MS = 5000;

export interface ConnectionSettings {
  readonly prefix: string;
  readonly timeoutMs: number;
  readonly isStrict: boolean;
  readonly blockSize: number;
  /** Makes a connection for commands or for messages. */
  readonly connect: (purpose: 'commands' | 'messages') => Client;
}

/** One process's connection: whether the store is there, and what is done when it is not. */
export class RedisConnection implements StoreConnection, PoolLink {
  readonly processId = randomBytes(4).toString('hex').slice(0, 5);
  readonly isStrict: boolean;
  readonly blockSize: number;
  readonly clock: Clock;
  cause: unknown = undefined;
  private state: 'opening' | 'up' | 'away' | 'closed' = 'opening';
  private readonly settings: ConnectionSettings;
  private readonly host: StoreHost;
  private readonly deadlines: Deadlines;
  private readonly pools: RedisPool[] = [];
  private readonly breakerStores: RedisBreakers[] = [];
  private commands: Client | undefined;
  private messages: Client | undefined;
  private readonly opening: Promise<void>;
  private hasOpened: () => void = () => undefined;
  private listening: Promise<unknown> = Promise.resolve();
  private reviving: Promise<void> | undefined;
  /** Closed, and not gone yet: Redis is still to hear of what ends meanwhile. */
  private isLeaving = false;
  private hasEnded = false;
  /** Scripts that are not answered. */
  private underWay = 0;
  private leaveTimer: TimerHandle;
  /** It may not hear what the others say, and that was told. */
  private isDeaf = false;
  private probeTimer: TimerHandle;
  private probeMs = FIRST_PROBE_MS;

  constructor(settings: ConnectionSettings, host: StoreHost) {
    this.settings = settings;
    this.host = host;
    this.isStrict = settings.isStrict;
    this.blockSize = settings.blockSize;
    this.clock = host.clock;
    this.deadlines = new Deadlines(host.clock, settings.timeoutMs);
    this.opening = new Promise(resolve => (this.hasOpened = resolve));
    // By then the guard has named its pools, so that they are listened for from the beginning.
    queueMicrotask(() => this.connect());
  }

  // StoreConnection

  pool(pattern: string, listener: PoolListener): PoolStore {
    const pool = new RedisPool(new PoolNames(this.settings.prefix, pattern), this, listener);
    this.pools.push(pool);
    void this.listen(pool.names.channel);
    if (this.state === 'up') void this.greet(pool);
    return pool;
  }

  breakers(listener: BreakerListener): BreakerStore {
    const breakers = new RedisBreakers(new PoolNames(this.settings.prefix, 'breakers of all providers'), this, listener);
    this.breakerStores.push(breakers);
    void this.listen(breakers.names.channel);
    if (this.state === 'up') void breakers.load();
    return breakers;
  }

  close(): void {
    if (this.state === 'closed') return;
    for (const pool of this.pools) pool.close();
    this.isLeaving = this.state === 'up';
    this.state = 'closed';
    this.host.clock.clearTimeout(this.probeTimer);
    this.hasOpened();
    this.messages?.disconnect();
    this.leave();
  }

  // PoolLink

  get isUp(): boolean {
    return this.state === 'up' || this.isLeaving;
  }

  get isOpening(): boolean {
    return this.state === 'opening';
  }

  now(): number {
    return this.host.clock.now();
  }

  /** Resolves when the first connection has been made, or was not to be had. */
  ready(): Promise<void> {
    return this.opening;
  }

  opened(): Promise<void> {
    return this.inTime(this.opening).catch((error: unknown) => this.fail(error));
  }

  run(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    if (!this.commands) return Promise.reject(new Error('There is no connection'));
    const reply = script.run(this.commands, keys, args);
    this.underWay++;
    reply.then(this.answered, this.answered);
    return reply;
  }

  inTime<T>(promise: Promise<T>): Promise<T> {
    return this.deadlines.inTime(promise);
  }

  failed(cause: unknown, askedAt: number): void {
    // One answer among many was late: the store is busy, and there.
    if (cause instanceof TooLate && !this.deadlines.isSilentSince(askedAt)) return;
    this.fail(cause);
  }

  private connect(): void {
    if (this.isClosed) return;
    try {
      const commands = this.settings.connect('commands');
      const messages = this.settings.connect('messages');
      this.commands = commands;
      this.messages = messages;
      // Why a connection was lost is told by what fails for it.
      commands.on('error', (error: unknown) => (this.cause = plainly(error)));
      messages.on('error', () => undefined);
      commands.on('close', () => {
        if (this.isClosed) {
          this.end();
          return;
        }
        this.fail(this.cause ?? new ConnectionClosed());
        // It may be another server that is connected to next, and the messages are to come from there.
        if (messages.status === 'ready') messages.disconnect(true);
      });
      commands.on('ready', () => void this.revive());
      messages.on('message', (channel: string, message: string) => this.hear(channel, message));
      let isLost = false;
      messages.on('close', () => (isLost = true));
      messages.on('ready', () => {
        if (isLost) this.listenToAll();
        isLost = false;
        // What was said while nobody listened is asked for.
        if (this.state === 'up') void this.revive();
      });
      this.listenToAll();
      if (commands.status === 'ready') void this.revive();
    } catch (error) {
      this.fail(error);
    }
  }

  private listenToAll(): void {
    const channels = [...this.pools, ...this.breakerStores].map(({ names }) => names.channel);
    this.listening = Promise.all(channels.map(channel => this.listen(channel)));
  }

  private async listen(channel: string): Promise<void> {
    try {
      await this.messages?.subscribe(channel);
    } catch (error) {
      // Once it is connected again, it is asked for again.
      if (error instanceof Error && error.message.startsWith('NOPERM')) this.deafened(plainly(error));
    }
  }

  private readonly answered = (): void => {
    this.underWay--;
    // Whoever has asked hears of it first, and may have something to give back.
    if (this.isLeaving) setImmediate(() => this.leave());
  };

  /**
   * Ends the connection as soon as Redis has heard what it is to hear. Calls that go on after the guard was closed are
   * waited for, but keep no process alive by that.
   */
  private leave(): void {
    const isHolding = this.isLeaving && this.pools.some(pool => pool.isHolding);
    const { clock } = this.host;
    clock.clearTimeout(this.leaveTimer);
    if (this.underWay > 0 && this.isLeaving) {
      this.leaveTimer = clock.setTimeout(() => this.end(), Math.max(this.settings.timeoutMs, LEAST_LEAVE_MS), true);
      this.keepAlive(true);
    } else if (isHolding) {
      this.deadlines.close();
      this.keepAlive(false);
    } else {
      this.end();
    }
  }

  private end(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.isLeaving = false;
    this.host.clock.clearTimeout(this.leaveTimer);
    this.deadlines.close();
    this.commands?.disconnect();
  }

  private keepAlive(isKept: boolean): void {
    const { commands } = this;
    if (!commands) return;
    for (const client of isCluster(commands) ? commands.nodes() : [commands]) {
      const stream = streamOf(client);
      if (isKept) stream?.ref();
      else stream?.unref();
    }
  }

  private deafened(cause: unknown): void {
    if (this.isDeaf) return;
    this.isDeaf = true;
    this.host.warn(`Redis does not let this process listen (${nameOf(cause)}): it learns with its next call what others have found out`);
  }

  private hear(channel: string, message: string): void {
    const parsed = parse(message);
    if (!parsed) return;
    for (const listener of [...this.pools, ...this.breakerStores]) if (listener.names.channel === channel) listener.hear(parsed);
  }

  private async greet(pool: RedisPool): Promise<void> {
    const askedAt = this.now();
    try {
      pool.welcome(await pool.hello());
    } catch (error) {
      this.failed(error, askedAt);
    }
  }

  /** Asks whether the store is there; one question at a time. */
  private revive(): Promise<void> {
    return (this.reviving ??= this.ask().finally(() => (this.reviving = undefined)));
  }

  private async ask(): Promise<void> {
    try {
      const pools = [...this.pools];
      // What is said from now on is heard; what was said before is asked for.
      const greetings = this.listening.then(() => Promise.all(pools.map(pool => pool.hello())));
      const replies = await this.inTime(greetings);
      if (this.isClosed) return;
      const wasAway = this.state === 'away';
      this.state = 'up';
      this.probeMs = FIRST_PROBE_MS;
      this.host.clock.clearTimeout(this.probeTimer);
      this.probeTimer = undefined;
      for (const [position, pool] of pools.entries()) pool.welcome(replies[position]);
      for (const breakers of this.breakerStores) void breakers.load();
      this.hasOpened();
      if (wasAway) this.host.warn('Redis is back: state is shared again');
    } catch (error) {
      this.fail(error);
      this.probeLater();
    }
  }

  private get isClosed(): boolean {
    return this.state === 'closed';
  }

  private fail(error: unknown): void {
    const cause = plainly(error);
    if (this.state === 'closed') return;
    this.cause = cause;
    if (this.state === 'away') return;
    this.state = 'away';
    this.hasOpened();
    const mode = this.isStrict ? 'calls are rejected until it is back' : 'each process goes on with its share until it is back';
    this.host.warn(`Redis is away (${nameOf(cause)}): ${mode}`);
    for (const pool of this.pools) pool.away();
    this.probeLater();
  }

  private probeLater(): void {
    if (this.state !== 'away' || this.probeTimer !== undefined) return;
    this.probeTimer = this.host.clock.setTimeout(
      () => {
        this.probeTimer = undefined;
        if (this.commands?.status === 'ready') void this.revive();
        else this.probeLater();
      },
      this.probeMs,
      true,
    );
    this.probeMs = Math.min(LONGEST_PROBE_MS, this.probeMs * 2);
  }
}

/** A node of a cluster that was not asked for anything has none. */
function streamOf({ stream }: Partial<Pick<Redis, 'stream'>>): Redis['stream'] | undefined {
  return stream;
}

function parse(message: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(message);
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : undefined;
  } catch {
    return undefined;
  }
}

/** The words of an error and its code, and nothing else: the client's own hold the commands, with which one signs in. */
function plainly(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof TooLate || error instanceof ConnectionClosed) return error;
  const code: unknown = Reflect.get(error, 'code');
  const plain = new Error(error.message);
  plain.name = error.name;
  return typeof code === 'string' ? Object.assign(plain, { code }) : plain;
}

/** The message may show where the server is, and how one signs in there. */
function nameOf(cause: unknown): string {
  if (!(cause instanceof Error)) return typeof cause;
  const code: unknown = Reflect.get(cause, 'code');
  if (typeof code === 'string') return code;
  if (cause instanceof TooLate) return 'no answer in time';
  if (cause instanceof ConnectionClosed) return 'the connection was closed';
  // What Redis itself says begins with a word for it, such as NOAUTH.
  return /^[A-Z]{3,} /.exec(cause.message)?.[0].trim() ?? cause.name;
}
