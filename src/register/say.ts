import { writeSync } from 'node:fs';

/** A line on stderr, written before anything else can happen. */
export function say(line: string): void {
  writeSync(2, `${line}\n`);
}
