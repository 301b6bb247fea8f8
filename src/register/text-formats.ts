import { LineCounter, parseDocument } from 'yaml';
import { RegisterError } from './error.ts';

/** @throws RegisterError without any of the text: parsers quote what they stumble upon, and that may be a key */
export function readJson(text: string, name: string): unknown {
  try {
    // Some editors begin a file with a byte order mark.
    return JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    const position = error instanceof Error ? /at position (\d+)/.exec(error.message)?.[1] : undefined;
    throw new RegisterError(`${name}: not valid JSON${position === undefined ? '' : placeOf(text, Number(position))}`);
  }
}

/** An empty file is undefined. @throws RegisterError as {@link readJson} */
export function readYaml(text: string, name: string): unknown {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'silent' });
  const [error] = document.errors;
  if (error) {
    const { line, col } = lines.linePos(error.pos[0]);
    throw new RegisterError(`${name}: not valid YAML at line ${line}, column ${col} (${error.code})`);
  }
  try {
    return document.toJS() ?? undefined;
  } catch {
    throw new RegisterError(`${name}: not valid YAML: an alias leads nowhere, or to too much`);
  }
}

function placeOf(text: string, position: number): string {
  const before = text.slice(0, position).split('\n');
  return ` at line ${before.length}, column ${before.at(-1)!.length + 1}`;
}
