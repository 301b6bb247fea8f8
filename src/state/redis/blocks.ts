import type { TimerHandle } from '../../clock.ts';
import type { RedisMember } from './member.ts';
import type { PoolLink } from './pool-link.ts';

/** What was taken of a key and its group and is not spent yet. */
export interface Block {
  readonly id: string;
  readonly members: readonly RedisMember[];
  requests: number;
  tokens: number;
  /** When the store has it counted, by its own clock: no sooner than it can be spent. */
  readonly stamp: number;
  /** Until when it may be spent, by the clock of this process. */
  readonly until: number;
}

/** Quota this process has taken ahead, by key and group. What is not spent in time goes back. */
export class Blocks {
  private readonly link: PoolLink;
  private readonly giveBack: (block: Block) => void;
  private readonly blocks = new Map<string, Block>();
  private timer: TimerHandle;

  constructor(link: PoolLink, giveBack: (block: Block) => void) {
    this.link = link;
    this.giveBack = giveBack;
  }

  /** The block that one call was taken from; undefined where it has to be asked for. */
  spend(name: string, tokens: number): Block | undefined {
    const block = this.blocks.get(name);
    if (!block) return undefined;
    if (block.until <= this.link.now() || block.tokens < tokens) {
      this.end(name, block);
      return undefined;
    }
    block.requests--;
    block.tokens -= tokens;
    if (block.requests === 0) this.end(name, block);
    return block;
  }

  put(name: string, block: Block): void {
    const before = this.blocks.get(name);
    if (before) this.end(name, before);
    this.blocks.set(name, block);
    this.arm();
  }

  clear(): void {
    for (const [name, block] of this.blocks) this.end(name, block);
    this.link.clock.clearTimeout(this.timer);
    this.timer = undefined;
  }

  private end(name: string, block: Block): void {
    this.blocks.delete(name);
    if (block.requests > 0 || block.tokens > 0) this.giveBack(block);
  }

  private arm(): void {
    const [oldest] = this.blocks.values();
    if (!oldest || this.timer !== undefined) return;
    const sweep = (): void => {
      this.timer = undefined;
      const now = this.link.now();
      for (const [name, block] of this.blocks) if (block.until <= now) this.end(name, block);
      this.arm();
    };
    this.timer = this.link.clock.setTimeout(sweep, Math.max(1, oldest.until - this.link.now()), true);
  }
}
