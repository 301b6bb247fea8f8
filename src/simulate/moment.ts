/** Without its offset, a time would be another one on another machine. */
const OFFSET = /(?:Z|[+-]\d\d:?\d\d)$/i;

/** True for an ISO time that says when it is. */
export function isMoment(text: string): boolean {
  return OFFSET.test(text) && !Number.isNaN(Date.parse(text));
}
