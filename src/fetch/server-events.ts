/** One event of a `text/event-stream`. */
export interface ServerEvent {
  /** What its `event:` line says; empty where it has none. */
  readonly name: string;
  readonly data: string;
}

/** An event longer than this, such as an image, is not looked at. In characters. */
const LONGEST_EVENT = 1024 * 1024;

/** Reads events as their bytes come, in whatever pieces. */
export class EventReader {
  private readonly decoder = new TextDecoder();
  /** Of the line that has no end yet; joined once, when it has. */
  private pieces: string[] = [];
  private lineLength = 0;
  private name = '';
  private data: string[] = [];
  private dataLength = 0;
  private isTooLong = false;
  /** The last line has ended with a carriage return, whose line feed may come with the next chunk. */
  private hasReturned = false;

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
    if (text === '') return events;
    let start = this.hasReturned && text.startsWith('\n') ? 1 : 0;
    this.hasReturned = text.endsWith('\r');
    const lineEnd = /\r\n?|\n/g;
    lineEnd.lastIndex = start;
    for (let end = lineEnd.exec(text); end; end = lineEnd.exec(text)) {
      this.keep(text.slice(start, end.index));
      this.endLine(events);
      start = lineEnd.lastIndex;
    }
    this.keep(text.slice(start));
    return events;
  }

  private keep(piece: string): void {
    this.lineLength += piece.length;
    if (this.lineLength > LONGEST_EVENT) {
      this.isTooLong = true;
      this.pieces = [];
    } else if (piece !== '') {
      this.pieces.push(piece);
    }
  }

  private endLine(events: ServerEvent[]): void {
    if (this.lineLength === 0) this.endEvent(events);
    else if (!this.isTooLong) this.line(this.pieces.join(''));
    this.pieces = [];
    this.lineLength = 0;
  }

  private endEvent(events: ServerEvent[]): void {
    if (this.data.length > 0 && !this.isTooLong) events.push({ name: this.name, data: this.data.join('\n') });
    this.name = '';
    this.data = [];
    this.dataLength = 0;
    this.isTooLong = false;
  }

  private line(line: string): void {
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'event') this.name = value;
    if (field !== 'data') return;
    this.data.push(value);
    this.dataLength += value.length + 1;
    if (this.dataLength <= LONGEST_EVENT) return;
    this.isTooLong = true;
    this.data = [];
  }
}
