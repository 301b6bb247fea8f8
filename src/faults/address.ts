import type { AddressLimitSource, AddressRefusal, Evidence } from './fault.ts';
import { decimal, parseDate } from './reset.ts';

/** What an answer says of a limit on the address. Whatever it does not say is undefined. */
export interface AddressReading {
  readonly used: number | undefined;
  /** By the server's clock, in whole seconds, epoch ms. */
  readonly serverNow: number | undefined;
  readonly isFailure: boolean;
  /** Set where it was refused for this limit. */
  readonly refusal: AddressRefusal | undefined;
}

export function readAddressLimit(
  { body, header }: Pick<Evidence, 'body' | 'header'>,
  source: AddressLimitSource,
  isFailure: boolean,
): AddressReading {
  const used = decimal(header(source.used));
  return {
    used: used >= 0 ? used : undefined,
    serverNow: parseDate(header('date') ?? ''),
    isFailure,
    refusal: isFailure ? source.refusal(body) : undefined,
  };
}
