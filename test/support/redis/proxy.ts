import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A TCP proxy that can be slow, and cut connections. */
export class TcpProxy {
  /** Answers come so much later. */
  delayMs = 0;
  /** Answers come byte by byte, with so much time in between. */
  dripMs = 0;
  /** Cuts the connection in the middle of the next answer that is longer than this. */
  cutAfterBytes = Infinity;
  private readonly server: Server;
  private readonly pairs = new Set<Socket>();
  /** What is still to be passed on, one after the other. */
  private readonly lines = new WeakMap<Socket, Promise<void>>();
  private readonly waits = new Set<() => void>();

  private constructor(target: number) {
    this.server = createServer(near => {
      const far = connect(target, '127.0.0.1');
      for (const socket of [near, far]) {
        this.pairs.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          this.pairs.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.on('data', data => far.write(data));
      far.on('data', data => this.pass(data, near));
    });
  }

  static async start(target: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    await new Promise<void>(resolve => proxy.server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Passes on at once what was held back, and all that comes. */
  hurry(): void {
    this.delayMs = this.dripMs = 0;
    for (const end of this.waits) end();
  }

  cut(): void {
    for (const socket of this.pairs) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise(resolve => this.server.close(resolve));
  }

  private pass(data: Buffer, near: Socket): void {
    if (data.length > this.cutAfterBytes) {
      near.write(data.subarray(0, this.cutAfterBytes));
      this.cutAfterBytes = Infinity;
      near.end();
      return;
    }
    const line = this.lines.get(near);
    if (this.delayMs === 0 && this.dripMs === 0 && !line) {
      near.write(data);
      return;
    }
    const due = performance.now() + this.delayMs;
    this.lines.set(near, (line ?? Promise.resolve()).then(() => this.passSlowly(data, near, due)));
  }

  private async passSlowly(data: Buffer, near: Socket, due: number): Promise<void> {
    if (this.delayMs > 0) await this.wait(due - performance.now());
    let from = 0;
    for (; this.dripMs > 0 && from < data.length; from++) {
      near.write(data.subarray(from, from + 1));
      await this.wait(this.dripMs);
    }
    near.write(data.subarray(from));
  }

  private wait(ms: number): Promise<void> {
    return new Promise(resolve => {
      const end = (): void => {
        clearTimeout(timer);
        this.waits.delete(end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      this.waits.add(end);
    });
  }
}
