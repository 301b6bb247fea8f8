/** `prefix`, then filler that says FAKE, then the label: distinct by label, `length` characters in all. */
function fakeKey(prefix: string, length: number, label: string): string {
  if (!/^[0-9A-Za-z_-]{1,12}$/.test(label)) throw new RangeError('a label is 1 to 12 of 0-9, A-Z, a-z, _ and -');
  const filler = length - prefix.length - label.length - 1;
  return `${prefix}${'FAKE'.repeat(Math.ceil(filler / 4)).slice(0, filler)}-${label}`;
}

/** 39 characters beginning with `AIza`. */
export const fakeGeminiKey = (label: string): string => fakeKey('AIza', 39, label);

/** The newer shape of Gemini keys, beginning with `AQ.`. */
export const fakeGeminiAuthKey = (label: string): string => fakeKey('AQ.', 53, label);

export const fakeOpenAIKey = (label: string): string => fakeKey('sk-proj-', 64, label);

export const fakeAnthropicKey = (label: string): string => fakeKey('sk-ant-api03-', 108, label);
