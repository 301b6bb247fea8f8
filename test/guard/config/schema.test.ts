import * as z from 'zod';
import { describe, expect, test } from 'vitest';
import { guardConfigSchema, type GuardConfigSchema } from '../../../src/guard/config/schema.ts';
import type { ExecutionGuardConfig, ResolvedConfig } from '../../../src/guard/config/types.ts';

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;

test('the generated types are those of the schema', () => {
  // Checked by the compiler: a difference makes one of these `false`.
  const input: Same<ExecutionGuardConfig, z.input<GuardConfigSchema>> = true;
  const output: Same<ResolvedConfig, z.output<GuardConfigSchema>> = true;
  expect([input, output]).toEqual([true, true]);
});

test('the schema is built once', () => {
  expect(guardConfigSchema()).toBe(guardConfigSchema());
});

describe('descriptions', () => {
  const described = optionsWithin(guardConfigSchema().in, '');

  test('every option has one, which is a sentence', () => {
    expect(described.length).toBeGreaterThan(70);
    for (const option of described) expect(option).toEqual([option[0], expect.stringMatching(/^[A-Z].*\.$/)]);
  });

  test('every time names its unit', () => {
    const times = described.filter(([path]) => path.endsWith('Ms') && path.includes('.'));
    expect(times.length).toBeGreaterThan(15);
    for (const option of times) expect(option).toEqual([option[0], expect.stringMatching(/, in ms\b/)]);
  });
});

function optionsWithin(schema: z.core.$ZodType, path: string): [path: string, description: string | undefined][] {
  if (schema instanceof z.ZodObject) {
    return Object.entries<z.core.$ZodType>(schema.shape).flatMap(([name, member]) => {
      const place = `${path}.${name}`.replace(/^\./, '');
      return [[place, z.globalRegistry.get(member)?.description], ...optionsWithin(member, place)];
    });
  }
  if (schema instanceof z.ZodRecord) return optionsWithin(schema.valueType, path);
  if (schema instanceof z.ZodArray) return optionsWithin(schema.element, path);
  if (schema instanceof z.ZodPipe) return optionsWithin(schema.in, path);
  if (schema instanceof z.ZodUnion) {
    return schema.options.flatMap((member: z.core.$ZodType) => optionsWithin(member, path));
  }
  if (
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodReadonly
  ) {
    return optionsWithin(schema.unwrap(), path);
  }
  return [];
}
