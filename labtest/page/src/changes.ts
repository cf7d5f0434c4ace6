// A value over time, as the list of its changes.

/** The first place in a sorted list whose value is above `x`. */
export function above(sorted: ArrayLike<number>, x: number): number {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! <= x) low = middle + 1; else high = middle;
  }
  return low;
}

/** Changes are added in the order of their steps; several in one step are one change to the last of them. */
export class Changes<T> {
  readonly steps: number[] = [];
  readonly values: T[] = [];

  set(step: number, value: T): void {
    if (this.steps.at(-1) === step) this.values[this.values.length - 1] = value;
    else { this.steps.push(step); this.values.push(value); }
  }

  /** What it was when `step` was over; `undefined` before its first change. */
  at(step: number): T | undefined {
    return this.values[above(this.steps, step) - 1];
  }

  get last(): T | undefined { return this.values.at(-1); }

  /** Whether it changed in this very step. */
  changedAt(step: number): boolean {
    return this.steps[above(this.steps, step) - 1] === step;
  }
}
