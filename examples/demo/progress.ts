import type { WriteStream } from 'node:tty';

const PLAIN_STEP = 20;

/** A counter that is rewritten in place on a terminal, and a line every so often elsewhere. */
export class Progress {
  readonly #out: WriteStream;
  readonly #total: number;
  #answered = 0;
  #failed = 0;

  constructor(total: number, out: WriteStream = process.stdout) {
    this.#total = total;
    this.#out = out;
  }

  ended(ok: boolean): void {
    if (ok) this.#answered += 1;
    else this.#failed += 1;
    const done = this.#answered + this.#failed;
    if (this.#out.isTTY) this.#draw();
    else if (done % PLAIN_STEP === 0 || done === this.#total) this.#out.write(`${this.#line()}\n`);
  }

  /** A line that stays. */
  note(text: string): void {
    this.#clear();
    this.#out.write(`${text}\n`);
    if (this.#out.isTTY) this.#draw();
  }

  finish(): void {
    this.#clear();
  }

  #line(): string {
    const done = this.#answered + this.#failed;
    const bar = this.#out.isTTY ? `${'#'.repeat(Math.round((30 * done) / this.#total)).padEnd(30, '.')}  ` : '';
    return `${bar}${done} of ${this.#total} calls ended: ${this.#answered} answered, ${this.#failed} failed`;
  }

  #draw(): void {
    this.#clear();
    this.#out.write(this.#line());
  }

  #clear(): void {
    if (this.#out.isTTY) this.#out.write('\r\u001b[2K');
  }
}
