/** Gives the same text for calls that belong together, by the `req` of the call; undefined or '': any key will do. */
export type AffinityFunction = (request: unknown) => string | undefined;

/** What calls stay with one key for: their session, the beginning of their prompt, or what a function tells. */
export type Affinity = 'session' | 'prompt' | AffinityFunction;
