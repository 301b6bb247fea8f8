import type { Limits, Member } from '../store.ts';
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

  /** @param journal what was taken under other limits */
  constructor(name: string, entry: string, limits: Limits | undefined, journal = new Journal()) {
    const { rpm = 0, tpm = 0, rpd = 0, tpd = 0, concurrency = 0 } = limits ?? {};
    this.name = name;
    this.entry = entry;
    this.limits = limits;
    this.limitsText = rpm + tpm + rpd + tpd + concurrency > 0 ? `${rpm} ${tpm} ${rpd} ${tpd} ${concurrency}` : '';
    this.hasPlaces = concurrency > 0;
    this.hasDay = rpd + tpd > 0;
    journal.keep(rpm + tpm > 0, this.hasDay);
    this.journal = journal;
  }
}
