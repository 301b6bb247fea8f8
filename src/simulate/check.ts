import * as z from 'zod';
import { ConfigError, type ConfigIssue } from '../guard/errors.ts';
import { describeIssues, formatPath } from '../guard/config/issues.ts';
import { isMoment } from './moment.ts';
import type { Scenario } from './scenario.ts';

const whole = 'a whole number, 1 or more';
const count = z.number({ error: whole }).int({ error: whole }).min(1, { error: whole });
const positive = z.number({ error: 'a number above 0' }).positive({ error: 'a number above 0' });
const fromZero = z.number({ error: 'a number, 0 or more' }).min(0, { error: 'a number, 0 or more' });
const share = z.number({ error: 'a number from 0 to 1' }).min(0, { error: 'a number from 0 to 1' }).max(1, { error: 'a number from 0 to 1' });
const text = z.string({ error: 'a string that is not blank' }).regex(/\S/, { error: 'a string that is not blank' });
const flag = z.boolean({ error: '`true` or `false`' });

function oneOf<const Names extends readonly string[]>(names: Names) {
  return z.enum(names, { error: `one of ${names.map(name => `\`${name}\``).join(', ')}` });
}

function section<Shape extends z.core.$ZodShape>(shape: Shape) {
  const names = Object.keys(shape).map(name => `\`${name}\``).join(', ');
  return z.strictObject(shape, { error: issue => (issue.code === 'unrecognized_keys' ? names : 'an object') });
}

function list<Item extends z.ZodType>(item: Item) {
  return z.array(item, { error: 'an array' });
}

const traffic = {
  provider: text,
  model: text.optional(),
  tokens: fromZero.optional(),
  sessions: count.optional(),
  patienceMs: positive,
  leaving: share.optional(),
};

const momentError = 'an ISO time with its offset, such as `2026-11-20T12:00:00Z`';

const call = section({
  time: z.union([z.number(), z.string().refine(isMoment)], { error: 'epoch ms, or an ISO time with its offset' }),
  provider: text,
  model: text.optional(),
  tokens: fromZero.optional(),
  session: text.optional(),
});

let built: ReturnType<typeof build> | undefined;

function build() {
  const quota = section({
    of: oneOf(['key', 'project', 'organization', 'address']),
    counts: oneOf(['requests', 'tokens']),
    limit: fromZero,
    per: oneOf(['minute', 'day']),
    form: oneOf(['sliding', 'fixed', 'refill']),
    perModel: flag.optional(),
    timeZone: text.refine(isTimeZone, { error: 'an IANA time zone, such as `America/Los_Angeles`' }).optional(),
  });
  const trouble = section({
    kind: oneOf(['revoked', 'suspended', 'billing', 'overloaded', 'outage', 'slow']),
    keys: list(text).optional(),
    fromMs: fromZero,
    untilMs: fromZero.optional(),
    attempts: count.optional(),
    factor: positive.optional(),
  });
  const provider = section({
    dialect: oneOf(['gemini', 'openai', 'anthropic', 'binance', 'plain']),
    keys: list(section({ id: text, project: text.optional(), organization: text.optional(), scale: fromZero.optional() })),
    quotas: list(quota).optional(),
    troubles: list(trouble).optional(),
    latency: section({ medianMs: positive, sigma: fromZero }).optional(),
    uplinkMs: z.tuple([fromZero, fromZero], { error: 'two numbers of ms, the least and the most' }).optional(),
    promptCacheMs: positive.optional(),
    told: section({ limits: flag.optional(), groups: flag.optional() }).optional(),
  });
  const shapes = z.discriminatedUnion(
    'shape',
    [
      section({ ...traffic, shape: z.literal('steady'), perMinute: positive }),
      section({ ...traffic, shape: z.literal('ramp'), fromPerMinute: fromZero, toPerMinute: fromZero }),
      section({ ...traffic, shape: z.literal('burst'), calls: fromZero, atMs: fromZero, overMs: fromZero }),
      section({ ...traffic, shape: z.literal('diurnal'), perMinute: positive, peakHour: fromZero }),
      section({ ...traffic, shape: z.literal('trace'), calls: list(call) }),
    ],
    { error: 'one of `steady`, `ramp`, `burst`, `diurnal`, `trace`' },
  );
  return section({
    name: text,
    about: text,
    startAt: z.string({ error: momentError }).refine(isMoment, { error: momentError }),
    durationMs: positive,
    providers: z.record(text, provider, { error: 'an object of providers' }),
    traffic: list(shapes),
    processes: count.optional(),
    // Checked by the guard itself.
    guard: section({ options: z.unknown().optional(), pool: z.unknown().optional() }).optional(),
  });
}

/** @throws ConfigError naming everything that is wrong */
export function checkScenario(scenario: unknown): asserts scenario is Scenario {
  const { data, error } = (built ??= build()).safeParse(scenario, { jitless: true });
  const issues = error ? describeIssues(error.issues, scenario) : [...misfits(data)];
  if (issues.length > 0) throw new ConfigError(issues);
}

/** What speaks of something that is not there. */
function* misfits({ providers, traffic: all }: z.output<ReturnType<typeof build>>): Generator<ConfigIssue> {
  const known = Object.keys(providers);
  const isUnknown = (name: string): boolean => !known.includes(name);
  if (known.length === 0) {
    yield { path: 'providers', message: 'expected one at least, found none' };
    return;
  }
  const message = `expected one of ${known.map(name => JSON.stringify(name)).join(', ')}, found `;
  for (const [position, each] of all.entries()) {
    const path = `traffic[${position}]`;
    if (isUnknown(each.provider)) yield { path: `${path}.provider`, message: message + JSON.stringify(each.provider) };
    for (const [index, { provider }] of each.shape === 'trace' ? each.calls.entries() : []) {
      if (isUnknown(provider)) yield { path: `${path}.calls[${index}].provider`, message: message + JSON.stringify(provider) };
    }
  }
  for (const [name, { keys, troubles = [] }] of Object.entries(providers)) {
    const path = formatPath(['providers', name]);
    const ids = new Set<string>();
    for (const [index, { id }] of keys.entries()) {
      if (ids.has(id)) yield { path: `${path}.keys[${index}].id`, message: `expected an id of its own, found ${JSON.stringify(id)} again` };
      ids.add(id);
    }
    for (const [position, trouble] of troubles.entries()) {
      const { factor, fromMs, kind, untilMs = Infinity } = trouble;
      if (untilMs < fromMs) {
        yield { path: `${path}.troubles[${position}].untilMs`, message: `expected ${fromMs} or more, as it begins then, found ${untilMs}` };
      }
      if (kind === 'slow' && factor === undefined) {
        yield { path: `${path}.troubles[${position}].factor`, message: 'expected how many times longer answers take, found none' };
      }
      for (const [index, id] of (trouble.keys ?? []).entries()) {
        if (ids.has(id)) continue;
        yield { path: `${path}.troubles[${position}].keys[${index}]`, message: `expected the id of a key, found ${JSON.stringify(id)}` };
      }
    }
  }
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
