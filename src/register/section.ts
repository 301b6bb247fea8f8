import * as z from 'zod';
import { describeIssues } from '../guard/config/issues.ts';
import type { ExecutionGuardConfig } from '../guard/config/types.ts';
import type { ConfigIssue } from '../guard/errors.ts';

/** What `process.env` answers: a placeholder such as `guard:gemini`, or the pool's best key at the moment. */
export type EnvironmentAnswer = 'placeholder' | 'key';

/** The section `register` of a configuration. */
export interface RegisterSection {
  /**
   * Which environment variables answer, and with what. True or `placeholder`: the usual variables of every pool, with
   * a placeholder; `key`: the same with a key; an object: the variables named, with `guard:<provider>` for a
   * placeholder or `key:<provider>` for a key. Default false: `process.env` is left alone.
   */
  readonly interceptEnv?: boolean | EnvironmentAnswer | Readonly<Record<string, string>> | undefined;
  /** As for `createGuardedFetch`. */
  readonly fetch?: {
    /** Reserves an estimate of the tokens from token limits; default false. */
    readonly estimateTokens?: boolean | undefined;
    /** A streamed body up to this size is kept, so that it can be sent again; default 16 MB. */
    readonly maxReplayBytes?: number | undefined;
  } | undefined;
  /** True keeps the line on stderr away that says what is guarded. Default false. */
  readonly quiet?: boolean | undefined;
}

/** The configuration of a guard, and what the preloader does beside. */
export interface RegisterConfig extends ExecutionGuardConfig {
  register?: RegisterSection | undefined;
}

/** Its options, by name. */
export const SECTION_OPTIONS = ['interceptEnv', 'fetch', 'quiet'] as const satisfies readonly (keyof RegisterSection)[];

/** The section, or all that is wrong with it. */
export type ReadSection =
  | { readonly section: RegisterSection; readonly issues?: undefined }
  | { readonly issues: readonly ConfigIssue[] };

export function readSection(section: unknown): ReadSection {
  const input = { register: section };
  const result = z.strictObject({ register: schema().optional() }).safeParse(input, { jitless: true });
  if (!result.success) return { issues: describeIssues(result.error.issues, input) };
  return { section: result.data.register ?? {} };
}

// As in the guard's own schema, `error` says what is allowed, with alternatives in backticks.
function schema() {
  const flag = z.boolean({ error: '`true` or `false`' });
  const bytes = 'a whole number of bytes, 0 or more';
  const answer = '`guard:` or `key:` and the name of a provider';
  const variable = 'the name of an environment variable';
  return strict({
    interceptEnv: z
      .union(
        [
          z.boolean(),
          z.enum(['placeholder', 'key']),
          z.record(
            z.string().regex(/^[A-Za-z_]\w*$/, { error: variable }),
            z.string({ error: answer }).regex(/^(?:guard|key):[!-~]+$/, { error: answer }),
          ),
        ],
        { error: '`true`, `false`, `placeholder`, `key`, or an object of answers by variable' },
      )
      .optional(),
    fetch: strict({
      estimateTokens: flag.optional(),
      maxReplayBytes: z.number({ error: bytes }).int({ error: bytes }).min(0, { error: bytes }).optional(),
    }).optional(),
    quiet: flag.optional(),
  });
}

function strict<Shape extends z.core.$ZodShape>(shape: Shape) {
  const names = Object.keys(shape).map(name => `\`${name}\``).join(', ');
  return z.strictObject(shape, {
    error: issue => (issue.code === 'unrecognized_keys' ? names : 'an object of options'),
  });
}
