import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { notices, noticesFile } from '../../scripts/notices.ts';

test('THIRD-PARTY-NOTICES.md names what the bundle holds (else: npm run generate)', async () => {
  expect(await readFile(noticesFile, 'utf8')).toBe(await notices());
});
