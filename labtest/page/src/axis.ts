// Time as it is laid out. Messages take a millisecond and then nothing happens for a hundred: on an even axis a run is a
// row of bundles in which no arrow can be told from another. So quiet times are shortened, unless the reader objects.
//
// Positions on the axis are called `u`; they are microseconds where time is not shortened.
import { above } from "./changes.ts";

export interface Gap { from: number; to: number; u1: number; u2: number }

export class Axis {
  private readonly ts: number[] = [0];
  private readonly us: number[] = [0];
  /** The quiet times that are shortened. */
  readonly gaps: Gap[] = [];
  private readonly gapBegins: number[] = [];
  private readonly gapEnds: number[] = [];
  readonly length: number;

  /** `times` ascend. Gaps longer than `unit` are shortened: ten times as long is three times as wide. */
  constructor(times: readonly number[], readonly shortened: boolean, unit: number) {
    let last = 0;
    if (shortened) {
      for (const t of times) {
        if (t - last > unit) this.gap(last, t, unit * (1 + Math.log(((t - last) / unit))));
        last = t;
      }
    }
    this.length = this.u(times.at(-1) ?? 0);
  }

  private gap(from: number, to: number, width: number): void {
    const u1 = this.u(from), u2 = u1 + width;
    for (const [t, u] of [[from, u1], [to, u2]] as const) {
      if (this.ts.at(-1) === t) continue;
      this.ts.push(t);
      this.us.push(u);
    }
    this.gaps.push({ from, to, u1, u2 });
    this.gapBegins.push(u1);
    this.gapEnds.push(u2);
  }

  /** Those shortened times that are, in part at least, between two positions. */
  gapsWithin(from: number, to: number): Gap[] {
    return this.gaps.slice(above(this.gapEnds, from), above(this.gapBegins, to));
  }

  u(t: number): number { return Axis.between(this.ts, this.us, t); }
  t(u: number): number { return Axis.between(this.us, this.ts, u); }

  /** Linear between the knots, and evenly beyond the first and the last. */
  private static between(xs: number[], ys: number[], x: number): number {
    const i = above(xs, x) - 1;
    if (i < 0) return ys[0]! + (x - xs[0]!);
    const x1 = xs[i]!, y1 = ys[i]!;
    if (i === xs.length - 1) return y1 + (x - x1);
    return y1 + (x - x1) / (xs[i + 1]! - x1) * (ys[i + 1]! - y1);
  }
}

/** The time a message usually takes, in microseconds: the middle one of them. */
export function usualFlight(flights: number[]): number {
  const sorted = flights.filter(t => t > 0).sort((a, b) => a - b);
  return Math.min(Math.max(sorted[sorted.length >> 1] ?? 1000, 50), 20_000);
}
