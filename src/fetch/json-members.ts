const BRACE_OPEN = 0x7b;
const BRACE_CLOSE = 0x7d;
const BRACKET_OPEN = 0x5b;
const BRACKET_CLOSE = 0x5d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;

const VALUE = /\s*:\s*(?:"((?:[^"\\]|\\.){0,512})"|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))/y;

/**
 * The members of a JSON object that are named and whose values are strings or numbers. Nothing is parsed but
 * these: prompts are long, and whoever sends them has made them from an object a moment ago. Stops as
 * soon as all are found. Empty where the text is no object.
 */
export function jsonMembers(text: string, names: readonly string[]): Map<string, string | number> {
  const found = new Map<string, string | number>();
  const end = text.length;
  let depth = 0;
  let isName = false;
  for (let at = /^\s*\{/.test(text) ? 0 : end; at < end && found.size < names.length; at++) {
    switch (text.charCodeAt(at)) {
      case BRACE_OPEN:
      case BRACKET_OPEN:
        depth++;
        isName = depth === 1;
        break;
      case BRACE_CLOSE:
      case BRACKET_CLOSE:
        depth--;
        break;
      case COMMA:
        isName = depth === 1;
        break;
      case QUOTE: {
        const close = endOfString(text, at);
        if (isName) {
          isName = false;
          const name = text.slice(at + 1, close);
          const value = names.includes(name) ? valueAt(text, close + 1) : undefined;
          if (value !== undefined) found.set(name, value);
        }
        at = close;
      }
    }
  }
  return found;
}

/** The closing quote of the string that opens at `from`; the end of the text where it has none. */
function endOfString(text: string, from: number): number {
  for (let at = text.indexOf('"', from + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return at;
  }
  return text.length;
}

function valueAt(text: string, at: number): string | number | undefined {
  VALUE.lastIndex = at;
  const [, string, number] = VALUE.exec(text) ?? [];
  if (number !== undefined) return Number(number);
  if (string === undefined || !string.includes('\\')) return string;
  try {
    return String(JSON.parse(`"${string}"`));
  } catch {
    return undefined;
  }
}
