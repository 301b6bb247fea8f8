const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** As in the store: neighbours share an entry. */
const MINUTE_STEP_MS = 500;
const DAY_STEP_MS = 900_000;

interface Entry {
  at: number;
  requests: number;
  tokens: number;
  /** Of these, what the store does not know of. */
  owedRequests: number;
  owedTokens: number;
}

/** What this process has taken of one member's windows, for the store to be told where it was away, or has forgotten. */
export class Journal {
  private minute: Entry[] | undefined = undefined;
  private day: Entry[] | undefined = undefined;

  /** Which windows there are. What is known of them stays. */
  keep(minute: boolean, day: boolean): void {
    this.minute = minute ? (this.minute ?? []) : undefined;
    this.day = day ? (this.day ?? []) : undefined;
  }

  note(at: number, requests: number, tokens: number, isCounted: boolean): void {
    if (this.minute) add(this.minute, at, requests, tokens, isCounted, MINUTE_STEP_MS, MINUTE_MS);
    if (this.day) add(this.day, at, requests, tokens, isCounted, DAY_STEP_MS, DAY_MS);
  }

  /** What is owed, or all of it, as the store's script reads it. It counts as told from now on. */
  settle(now: number, isForgotten: boolean): string {
    return tell('m', this.minute, now, isForgotten) + tell('d', this.day, now, isForgotten);
  }
}

function add(
  entries: Entry[],
  at: number,
  requests: number,
  tokens: number,
  isCounted: boolean,
  stepMs: number,
  spanMs: number,
): void {
  const step = Math.floor(at / stepMs);
  let index = entries.length - 1;
  while (index >= 0 && Math.floor(entries[index]!.at / stepMs) > step) index--;
  let entry = entries[index];
  if (!entry || Math.floor(entry.at / stepMs) !== step) {
    entry = { at, requests: 0, tokens: 0, owedRequests: 0, owedTokens: 0 };
    entries.splice(index + 1, 0, entry);
    while (entries[0] && entries[0].at + spanMs + stepMs < at) entries.shift();
  }
  entry.at = Math.max(entry.at, at);
  entry.requests += requests;
  entry.tokens += tokens;
  if (isCounted) return;
  entry.owedRequests += requests;
  entry.owedTokens += tokens;
}

function tell(kind: 'm' | 'd', entries: Entry[] | undefined, now: number, isForgotten: boolean): string {
  let told = '';
  for (const entry of entries ?? []) {
    const requests = Math.max(0, isForgotten ? entry.requests : entry.owedRequests);
    const tokens = Math.max(0, isForgotten ? entry.tokens : entry.owedTokens);
    entry.owedRequests = entry.owedTokens = 0;
    if (requests > 0 || tokens > 0) told += `${kind} ${Math.max(0, now - entry.at)} ${requests} ${tokens},`;
  }
  return told;
}
