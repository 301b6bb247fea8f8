/** One event of a `text/event-stream`. */
export interface ServerEvent {
  /** What its `event:` line says; empty where it has none. */
  readonly name: string;
  readonly data: string;
}

/** A line longer than this, such as an image, is not looked at. */
const LONGEST_LINE = 1024 * 1024;

/** Reads events as their bytes come, in whatever pieces. */
export class EventReader {
  private readonly decoder = new TextDecoder();
  private pending = '';
  /** Of `pending`, this much holds no end of line. */
  private searched = 0;
  private isTooLong = false;
  private name = '';
  private data: string | undefined;

  /** The events that are complete with this chunk. */
  read(chunk: Uint8Array): ServerEvent[] {
    return this.take(this.decoder.decode(chunk, { stream: true }));
  }

  /** The stream is over: what its last event lacks is its end. */
  end(): ServerEvent[] {
    return this.take('\n\n');
  }

  private take(text: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    const buffer = this.pending + text;
    let start = 0;
    const lineEnd = /\r\n?|\n/g;
    lineEnd.lastIndex = this.searched;
    for (let end = lineEnd.exec(buffer); end; end = lineEnd.exec(buffer)) {
      // A line feed may come with the next chunk.
      if (end[0] === '\r' && lineEnd.lastIndex === buffer.length) break;
      if (this.isTooLong) this.isTooLong = false;
      else this.line(buffer.slice(start, end.index), events);
      start = lineEnd.lastIndex;
    }
    this.pending = buffer.slice(start);
    if (this.pending.length > LONGEST_LINE) {
      this.isTooLong = true;
      this.pending = '';
    }
    this.searched = this.pending.endsWith('\r') ? this.pending.length - 1 : this.pending.length;
    return events;
  }

  private line(line: string, events: ServerEvent[]): void {
    if (line === '') {
      if (this.data !== undefined) events.push({ name: this.name, data: this.data });
      this.name = '';
      this.data = undefined;
      return;
    }
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'event') this.name = value;
    if (field === 'data') this.data = this.data === undefined ? value : `${this.data}\n${value}`;
  }
}
