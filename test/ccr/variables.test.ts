import { expect, test } from 'vitest';
import { withVariables } from '../../src/ccr/variables.ts';

const env = { GEMINI_ANN: 'secret-of-ann', lower: 'low' };

test.each([
  ['$GEMINI_ANN', 'secret-of-ann'],
  ['${GEMINI_ANN}', 'secret-of-ann'],
  ['${lower}', 'low'],
  ['before-$GEMINI_ANN-after', 'before-secret-of-ann-after'],
  ['$NOT_SET', ''],
  ['$lower and $5', '$lower and $5'],
  ['plain', 'plain'],
])('%s becomes %s', (text, expected) => {
  expect(withVariables(text, env)).toBe(expected);
});

test('looks into objects and arrays, and leaves the rest as it is', () => {
  const options = { keys: [{ key: '$GEMINI_ANN', weight: 2 }, null], enabled: true };
  expect(withVariables(options, env)).toEqual({ keys: [{ key: 'secret-of-ann', weight: 2 }, null], enabled: true });
  expect(options.keys[0]).toEqual({ key: '$GEMINI_ANN', weight: 2 });
});
