import { createHash, createHmac } from 'node:crypto';
import type { MemberKind } from '../store.ts';

/** The names of a pool's entries; they stand in one slot of a cluster, and hold neither secrets nor provider names. */
export class PoolNames {
  readonly version: string;
  readonly gates: string;
  readonly processes: string;
  readonly channel: string;
  private readonly base: string;
  private readonly salt: string;

  constructor(prefix: string, pattern: string) {
    const tag = createHash('sha256').update(pattern).digest('base64url').slice(0, 10);
    this.base = `${prefix}{${tag}}:`;
    this.salt = `${prefix} ${pattern}`;
    this.version = `${this.base}v`;
    this.gates = `${this.base}s`;
    this.processes = `${this.base}p`;
    this.channel = `${this.base}c`;
  }

  /**
   * Begins with a letter for its kind; the same in every process that has the secret.
   *
   * @param entry of its limits by model
   */
  member(kind: MemberKind, identity: string, entry?: string): string {
    const letter = { key: 'k', 'own group': 'o', group: 'g' }[kind];
    const digest = createHmac('sha256', this.salt).update(identity);
    if (entry !== undefined) digest.update(`\n${entry}`);
    return (entry === undefined ? letter : `${letter}m`) + digest.digest('base64url').slice(0, 16);
  }

  entry(member: string): string {
    return this.base + member;
  }
}
