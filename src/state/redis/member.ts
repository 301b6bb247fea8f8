import type { Limits, Member, Refilling } from '../store.ts';
import { Journal } from './journal.ts';

/** A key or a group with what is needed to ask the store for it. */
export class RedisMember implements Member {
  readonly name: string;
  readonly limits: Limits | undefined;
  /** Its entry in the store. */
  readonly entry: string;
  /** As the scripts read them; empty where nothing is counted. */
  readonly limitsText: string;
  readonly hasPlaces: boolean;
  readonly hasDay: boolean;
  readonly journal: Journal;

  /**
   * @param journal what was taken under other limits
   * @param offsetMs the store's time less this process's
   */
  constructor(name: string, entry: string, limits: Limits | undefined, journal = new Journal(), offsetMs = 0) {
    const { rpm = 0, tpm = 0, rpd = 0, tpd = 0, concurrency = 0, rpmRefills, tpmRefills } = limits ?? {};
    const refilling = refillText(rpmRefills, 'r', offsetMs) + refillText(tpmRefills, 't', offsetMs);
    this.name = name;
    this.entry = entry;
    this.limits = limits;
    this.limitsText = rpm + tpm + rpd + tpd + concurrency > 0 ? `${rpm} ${tpm} ${rpd} ${tpd} ${concurrency}${refilling}` : '';
    this.hasPlaces = concurrency > 0;
    this.hasDay = rpd + tpd > 0;
    journal.keep(rpm + tpm > 0, this.hasDay);
    this.journal = journal;
  }
}

function refillText(refilling: Refilling | undefined, letter: string, offsetMs: number): string {
  if (!refilling) return '';
  const { wholeAt } = refilling;
  return ` ${Number.isFinite(wholeAt) ? Math.max(0, Math.ceil(wholeAt + offsetMs)) : 0}${letter}`;
}
