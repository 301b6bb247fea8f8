import { maskSecret } from './mask.ts';

/** Under this name Node looks for what `console.log` is to show of an object. */
export const INSPECT: unique symbol = Symbol.for('nodejs.util.inspect.custom');

/** A copy of an object that carries a key, fit to be printed: with a mask in the key's place. */
export function concealed(carrier: { readonly apiKey?: string | undefined }): object {
  const { apiKey } = carrier;
  return apiKey === undefined ? { ...carrier } : { ...carrier, apiKey: maskSecret(apiKey) };
}
