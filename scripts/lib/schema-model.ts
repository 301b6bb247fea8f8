import * as z from 'zod';
import { literal } from './literal.ts';

type Schema = z.core.$ZodType;
/** Which type of a schema is meant: what it takes, or what it gives with every default filled in. */
export type Side = 'input' | 'output';

/** One option of an object. */
export interface Option {
  readonly name: string;
  readonly description: string;
  readonly schema: Schema;
  readonly optional: boolean;
  readonly hasDefault: boolean;
  /** The default as source text; that of a section is in its options. */
  readonly defaultText: string | undefined;
}

/** One object of options, and the places it may stand in. */
export interface Section {
  readonly typeName: string;
  readonly schema: z.ZodObject;
  readonly places: string[];
}

export function metaOf(schema: Schema): z.GlobalMeta {
  return z.globalRegistry.get(schema) ?? {};
}

/** The name of an object's interface; one name for both sides where they are the same. */
export function typeNameOf(schema: z.ZodObject, side: Side): string {
  const name = metaOf(schema).typeName;
  if (name === undefined) throw new Error(`An object of options has no type name: ${Object.keys(schema.shape).join()}`);
  if (side === 'input' || !changesOnTheWay(schema)) return name;
  return name === 'ExecutionGuardConfig' ? 'ResolvedConfig' : `Resolved${name.replace(/Config$/, '')}`;
}

function shapeOf(schema: z.ZodObject): [string, Schema][] {
  return Object.entries<Schema>(schema.shape);
}

export function optionsOf(schema: z.ZodObject, side: Side): Option[] {
  return shapeOf(schema).map(([name, member]) => {
    const { description } = metaOf(member);
    if (description === undefined) throw new Error(`The option ${name} has no description`);
    const hasDefault = member instanceof z.ZodDefault || member instanceof z.ZodPrefault;
    return {
      name,
      description,
      schema: member,
      optional: member instanceof z.ZodOptional || (side === 'input' && hasDefault),
      hasDefault,
      defaultText: hasDefault ? defaultTextOf(member) : undefined,
    };
  });
}

/** A schema's TypeScript type, with interfaces by name. */
export function typeText(schema: Schema, side: Side): string {
  return typeMembers(schema, side).join(' | ');
}

/** The members of a schema's type where it is a union; absence comes last, as one writes it. */
export function typeMembers(schema: Schema, side: Side): string[] {
  const members = [...new Set(membersOf(schema, side))];
  return [...members.filter(member => !isAbsence(member)), ...members.filter(isAbsence)];
}

const isAbsence = (type: string): boolean => type === 'null' || type === 'undefined';

function membersOf(schema: Schema, side: Side): string[] {
  const { type } = metaOf(schema);
  if (type !== undefined) return type.split(' | ');
  if (schema instanceof z.ZodObject) return [typeNameOf(schema, side)];
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) return typeMembers(schema.unwrap(), side);
  if (schema instanceof z.ZodOptional) return [...typeMembers(schema.unwrap(), side), 'undefined'];
  if (schema instanceof z.ZodNullable) return [...typeMembers(schema.unwrap(), side), 'null'];
  if (schema instanceof z.ZodReadonly) return [`readonly ${typeText(schema.unwrap(), side)}`];
  if (schema instanceof z.ZodArray) return [arrayOf(typeMembers(schema.element, side))];
  if (schema instanceof z.ZodRecord) return [`Record<string, ${typeText(schema.valueType, side)}>`];
  if (schema instanceof z.ZodUnion) return innerSchemas(schema, side).flatMap(member => typeMembers(member, side));
  if (schema instanceof z.ZodPipe) return typeMembers(side === 'input' ? schema.in : schema.out, side);
  if (schema instanceof z.ZodEnum) return schema.options.map(value => `'${value}'`);
  const plain = schema._zod.def.type;
  if (['string', 'number', 'boolean', 'null', 'undefined'].includes(plain)) return [plain];
  throw new Error(`No TypeScript type is known for a schema of type ${plain}; register one with ofType()`);
}

/** Every object of options within a schema, each once, outermost first. */
export function sectionsOf(root: Schema, side: Side): Section[] {
  const sections = new Map<string, Section>();
  visit(root, '', side, (schema, place) => {
    const typeName = typeNameOf(schema, side);
    const known = sections.get(typeName);
    if (known) known.places.push(place);
    else sections.set(typeName, { typeName, schema, places: [place] });
  });
  return [...sections.values()];
}

type Visitor = (schema: z.ZodObject, place: string) => void;

function visit(schema: Schema, place: string, side: Side, onObject: Visitor): void {
  if (schema instanceof z.ZodObject) {
    onObject(schema, place);
    for (const [name, member] of shapeOf(schema)) {
      visit(member, place === '' ? name : `${place}.${name}`, side, onObject);
    }
    return;
  }
  for (const inner of innerSchemas(schema, side)) visit(inner, place + step(schema), side, onObject);
}

/** What a container adds to the path of what it holds. */
function step(schema: Schema): string {
  if (schema instanceof z.ZodArray) return '[n]';
  return schema instanceof z.ZodRecord ? '[name]' : '';
}

function innerSchemas(schema: Schema, side: Side | 'both'): Schema[] {
  if (schema instanceof z.ZodObject) return shapeOf(schema).map(([, member]) => member);
  if (
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodReadonly
  ) {
    return [schema.unwrap()];
  }
  if (schema instanceof z.ZodArray) return [schema.element];
  if (schema instanceof z.ZodRecord) return [schema.valueType];
  if (schema instanceof z.ZodUnion) {
    const options: readonly Schema[] = schema.options;
    return [...options];
  }
  if (schema instanceof z.ZodPipe) {
    return side === 'both' ? [schema.in, schema.out] : [side === 'input' ? schema.in : schema.out];
  }
  return [];
}

/** Whether a default or a conversion makes what comes out differ from what goes in. */
function changesOnTheWay(schema: Schema): boolean {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodPipe) return true;
  return innerSchemas(schema, 'both').some(changesOnTheWay);
}

function defaultTextOf(schema: z.ZodDefault | z.ZodPrefault): string | undefined {
  const value = schema.def.defaultValue;
  return schema.unwrap() instanceof z.ZodObject ? undefined : literal(value);
}

function arrayOf(members: readonly string[]): string {
  return members.length > 1 ? `(${members.join(' | ')})[]` : `${members.join('')}[]`;
}
