import { inspect } from 'node:util';
import { expect } from 'vitest';

/** The marker stands twice and beside characters that are written differently in URLs and in base64. */
export function plant(marker: string, prefix = 'AIza'): string {
  if (!/^[a-z0-9]{12,}$/.test(marker)) throw new RangeError('a marker is 12 or more of a-z and 0-9');
  return `${prefix}${marker}+/=&${marker}`;
}

/** The ways in which a marker shows through: as it is, and in base64 at each of the three alignments. */
function tracesOf(marker: string): string[] {
  const base64 = [0, 1, 2].map(offset => {
    const encoded = Buffer.from('-'.repeat(offset) + marker).toString('base64');
    // The characters at either end depend on what stands beside the marker.
    return encoded.slice(offset === 0 ? 0 : 4, -4);
  });
  const hex = Buffer.from(marker).toString('hex');
  return [marker, marker.slice(0, 8), marker.slice(-8), hex, ...base64];
}

/** Everything that can be printed of a value, in every way there is to print it. */
export function printed(value: unknown): string {
  const parts = [String(value)];
  for (const options of [{ depth: Infinity, showHidden: true, maxArrayLength: null, maxStringLength: null }, {}]) {
    parts.push(inspect(value, options));
  }
  parts.push(JSON.stringify({ value }));
  for (let error = value; error instanceof Error; error = error.cause) {
    parts.push(error.name, error.message, error.stack ?? '');
  }
  return parts.join('\n');
}

/** Fails where anything printed of `value` lets one of the markers through. */
export function expectNoTrace(value: unknown, markers: readonly string[]): void {
  const text = typeof value === 'string' ? value : printed(value);
  const found = markers.filter(marker => tracesOf(marker).some(trace => text.includes(trace)));
  expect(found, text.slice(0, 2000)).toEqual([]);
}
