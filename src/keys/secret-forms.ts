/** One of the ways to write a secret. */
export interface SecretForm {
  /** All texts that hold it have one of these: they are found much faster than an expression is made. */
  readonly traces: readonly string[];
  /** The length of the longest match. */
  readonly longest: number;
  /** The source of the expression, without groups that capture. */
  source(): string;
}

/** Entities that have a name; the number of any character is one, too. */
const ENTITIES: Readonly<Record<string, string>> = {
  '"': 'quot',
  '&': 'amp',
  "'": 'apos',
  '<': 'lt',
  '>': 'gt',
  '!': 'excl',
  '#': 'num',
  $: 'dollar',
  '%': 'percnt',
  '(': 'lpar',
  ')': 'rpar',
  '*': 'ast',
  '+': 'plus',
  ',': 'comma',
  '.': 'period',
  '/': 'sol',
  ':': 'colon',
  ';': 'semi',
  '=': 'equals',
  '?': 'quest',
  '@': 'commat',
  '\\': 'bsol',
  '^': 'Hat',
  _: 'lowbar',
  '|': 'verbar',
  '~': 'tilde',
};

// Bounded, or a hostile text could make the search slow. What is encoded is rarely encoded more than twice.
const BACKSLASHES = String.raw`\\{1,4}`;
const AMPERSAND = '&(?:amp;){0,2}';
const PERCENT = '%(?:25){0,2}';
/** Of those, and of a number with leading zeros: `&amp;amp;#x0002b;`. */
const LONGEST_FORM = 18;

/**
 * All that a text may have in the place of a secret: the secret with each of its special characters as it is, or as
 * in a URL, in JSON, or in HTML, whatever was done to the others; its base64, alone or within a longer text, with the
 * same liberty; its hex digits. Over bytes, each written as one character.
 */
export function formsOf(secret: string): SecretForm[] {
  const bytes = Buffer.from(secret);
  const hex = bytes.toString('hex');
  return [
    written(secret, specialForm),
    ...inBase64(bytes),
    { traces: [hex, hex.toUpperCase()], longest: hex.length, source: () => anyCase(hex) },
  ];
}

function written(text: string, formOf: (character: string) => string): SecretForm {
  const runs = text.split(/[^A-Za-z0-9]+/);
  const special = Buffer.byteLength(text.replaceAll(/[A-Za-z0-9]/g, ''));
  return {
    traces: [runs.reduce((longest, run) => (run.length > longest.length ? run : longest), '')],
    longest: text.length + LONGEST_FORM * special,
    source: () =>
      text.replaceAll(/\\+|[^A-Za-z0-9]/gu, part => (part.startsWith('\\') ? backslashesForm(part.length) : formOf(part))),
  };
}

/** Several in a row are one form: it could be divided among theirs in too many ways. */
function backslashesForm(count: number): string {
  return `(?:(?:${encodedForms('\\')}){${count}}|\\\\{${count},${4 * count}})`;
}

function specialForm(character: string): string {
  const raw = escaped(Buffer.from(character).toString('latin1'));
  // Some escape quotes and slashes in JSON. The encoded ones first: the character itself may begin them.
  return String.raw`(?:${encodedForms(character)}|\\{0,4}${raw}${character === ' ' ? String.raw`|\+` : ''})`;
}

function encodedForms(character: string): string {
  const bytes = Buffer.from(character);
  const inUrl = [...bytes].map(byte => PERCENT + anyCase(byte.toString(16).padStart(2, '0'))).join('');
  const inJson = character
    .split('')
    .map(unit => `${BACKSLASHES}u${anyCase(unit.charCodeAt(0).toString(16).padStart(4, '0'))}`)
    .join('');
  const point = character.codePointAt(0) ?? 0;
  const numbers = `#(?:0{0,4}${point}|[xX]0{0,4}${anyCase(point.toString(16))});`;
  const name = ENTITIES[character];
  const inHtml = `${AMPERSAND}(?:${name === undefined ? numbers : `${name};|${numbers}`})`;
  return `${inUrl}|${inJson}|${inHtml}`;
}

/** In base64 a text looks different at each of three places; what depends on its neighbours is left out. */
function inBase64(bytes: Buffer): SecretForm[] {
  const alone = bytes.toString('base64');
  const digits = alone.replace(/=+$/, '');
  const padding = alone.length - digits.length;
  const whole = written(digits, digitForm);
  const within = [0, 1, 2].map(offset => {
    const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
    const isWhole = (bytes.length + offset) % 3 === 0;
    return written(encoded.slice(offset === 0 ? 0 : 4, isWhole ? undefined : -4), digitForm);
  });
  const padded: SecretForm = {
    ...whole,
    longest: whole.longest + padding * LONGEST_FORM,
    source: () => `${whole.source()}${specialForm('=')}{0,${padding}}`,
  };
  return [padded, ...within];
}

/** Two of the digits are others in URLs. */
function digitForm(digit: string): string {
  return `(?:${specialForm(digit)}|${digit === '+' ? '-' : '_'})`;
}

function anyCase(hex: string): string {
  return hex.replaceAll(/[a-f]/g, letter => `[${letter}${letter.toUpperCase()}]`);
}

function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`);
}
