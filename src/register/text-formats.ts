import { LineCounter, parseDocument, visit, type Alias } from 'yaml';
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
  const placeAt = (position: number): string => {
    const { line, col } = lines.linePos(position);
    return `at line ${line}, column ${col}`;
  };
  // A pattern such as *gemini* without quotes; what the parser stumbles upon comes later.
  let dangling: Alias | undefined;
  visit(document, {
    Alias: (_, alias) => {
      if (alias.resolve(document)) return undefined;
      dangling = alias;
      return visit.BREAK;
    },
  });
  if (dangling?.range) {
    const where = placeAt(dangling.range[0]);
    throw new RegisterError(`${name}: not valid YAML ${where}: \`*\` begins an alias, and it leads nowhere; quote what begins with \`*\``);
  }
  const [error] = document.errors;
  if (error) {
    const hint = hasBareReference(lineAround(text, error.pos[0])) ? '; quote `${...}`' : '';
    throw new RegisterError(`${name}: not valid YAML ${placeAt(error.pos[0])} (${error.code})${hint}`);
  }
  try {
    return document.toJS() ?? undefined;
  } catch {
    throw new RegisterError(`${name}: not valid YAML: an alias leads to too much`);
  }
}

function hasBareReference(line: string): boolean {
  return line.replaceAll(/"(?:[^"\\]|\\.)*"|'[^']*'/g, '').includes('${');
}

function lineAround(text: string, position: number): string {
  const start = text.lastIndexOf('\n', position - 1) + 1;
  const end = text.indexOf('\n', position);
  return text.slice(start, end === -1 ? undefined : end);
}

function placeOf(text: string, position: number): string {
  const before = text.slice(0, position).split('\n');
  return ` at line ${before.length}, column ${before.at(-1)!.length + 1}`;
}
