/** One line of a table. */
export interface Row {
  readonly label: string;
  readonly value: number;
  readonly unit: string;
  /** The value over that of the row it is compared with. */
  readonly ratio?: number;
}

/** One table. */
export interface Section {
  readonly name: string;
  readonly rows: readonly Row[];
  /** What the rows do, and what the ratio is over, in a sentence. */
  readonly note?: string;
}
