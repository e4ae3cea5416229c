// How long to wait before trying again: doubling up to a bound, spread so that a thousand browsers
// that lost the same server do not come back in the same moment.

export class Backoff {
  private tries = 0;

  constructor(
    private readonly firstMs = 500,
    private readonly mostMs = 15_000,
    private readonly random: () => number = Math.random,
  ) {}

  /** The next wait: between half of the bound and all of it. */
  next(): number {
    const boundMs = Math.min(this.firstMs * 2 ** this.tries, this.mostMs);
    this.tries += 1;
    return Math.round(boundMs / 2 + (this.random() * boundMs) / 2);
  }

  /** It worked. */
  reset(): void {
    this.tries = 0;
  }
}
