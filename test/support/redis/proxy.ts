import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A TCP proxy that can be slow, cut connections, or swallow what is said. */
export class TcpProxy {
  /** Answers come so much later. */
  delayMs = 0;
  /** Cuts the connection in the middle of the next answer that is longer than this. */
  cutAfterBytes = Infinity;
  private readonly server: Server;
  private readonly pairs = new Set<Socket>();

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
    if (this.delayMs > 0) setTimeout(() => near.write(data), this.delayMs);
    else near.write(data);
  }
}
