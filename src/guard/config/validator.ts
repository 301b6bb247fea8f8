/** The key to be checked by a provider's `validate` function. */
export interface KeyValidation {
  readonly apiKey: string;
  readonly keyId: string;
  readonly provider: string;
  /** Aborted when the check has taken longer than `healthCheck.timeoutMs`. */
  readonly signal: AbortSignal;
}

/**
 * Asks the provider whether a key is good, without spending quota. `true` or nothing: the key is good.
 * `false`, or an error that blames the key: it is bad. Any other error says nothing about the key.
 */
export type KeyValidator =
  | ((context: KeyValidation) => Promise<boolean | undefined> | boolean | undefined)
  | ((context: KeyValidation) => Promise<void>)
  | ((context: KeyValidation) => void);
