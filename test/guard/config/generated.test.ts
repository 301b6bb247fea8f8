import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { limitsExample, oldGuardDefaults, poolExample } from '../../../scripts/lib/examples.ts';
import { generatedFiles } from '../../../scripts/lib/generated-files.ts';
import { parseConfig } from '../../../src/guard/config/parse.ts';
import { errorOf } from './support.ts';

const reference = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8');

test.each(generatedFiles)('$path.pathname is what `npm run generate` writes', ({ path, render }) => {
  expect(readFileSync(path, 'utf8')).toBe(render());
});

describe('the reference', () => {
  test('shows the error a wrong configuration really gives', () => {
    const { message } = errorOf(() => parseConfig({ retry: { maxRetries: -1 }, rety: {} }));
    expect(reference).toContain(message);
  });

  test('gives examples that are valid', () => {
    expect(Object.keys(parseConfig(poolExample).keyManagement.providers)).toEqual(['*gemini*', 'openai']);
    expect(parseConfig(limitsExample).rateLimiting.rules.perMinute).toEqual({ requests: 60, windowMs: 60_000 });
  });

  test('gives the defaults of the old guard', () => {
    const config = parseConfig(oldGuardDefaults);
    expect(config.rateLimiting.rules).toEqual({
      burst: { requests: 10, windowMs: 10_000 },
      perMinute: { requests: 60, windowMs: 60_000 },
      perHour: { requests: 500, windowMs: 3_600_000 },
      perDay: { requests: 5000, windowMs: 86_400_000 },
    });
    expect(config.queue).toMatchObject({ enabled: true, minDelayMs: 5000, maxQueueSize: 100, concurrency: 1 });
    expect(config.retry.retryableStatusCodes).toEqual([429, 500, 502, 503, 504]);
    expect(config.keyManagement.enabled).toBe(false);
  });

  test('links to headings it has', () => {
    const anchors = new Set(
      Array.from(reference.matchAll(/^## (.+)$/gm), ([, heading]) =>
        heading!.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-'),
      ),
    );
    const links = Array.from(reference.matchAll(/\]\(#([^)]+)\)/g), ([, anchor]) => anchor);
    expect(links.length).toBeGreaterThan(10);
    expect(links.filter(anchor => !anchors.has(anchor!))).toEqual([]);
  });
});
