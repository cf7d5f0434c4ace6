// What part of the run is in view, and where a time stands on the screen.
import type { Axis } from "./axis.ts";

/** In positions of the axis. */
export interface View {
  from: number;
  to: number;
}

/** As close as one gets: the clock counts microseconds. */
export const SPAN_MIN = 200;

/** How much is shown before the run's begin and behind its end, of the whole. */
const MARGIN = 0.02;

/** A view that lies within the run, which is so long. */
export function fit(view: View, length: number): View {
  const margin = Math.max(length * MARGIN, SPAN_MIN);
  const span = Math.min(Math.max(view.to - view.from, SPAN_MIN), length + 2 * margin);
  const from = Math.min(Math.max((view.from + view.to - span) / 2, -margin), length + margin - span);
  return { from, to: from + span };
}

export const all = (length: number): View => fit({ from: 0, to: length + 4 * Math.max(length * MARGIN, SPAN_MIN) }, length);

/** Makes the span `factor` times as long; the position `at` stays where it is. */
export function zoom(view: View, factor: number, at: number, length: number): View {
  const span = view.to - view.from;
  const most = all(length);
  const f = Math.min(Math.max(span * factor, SPAN_MIN), most.to - most.from) / span;
  return fit({ from: at - (at - view.from) * f, to: at + (view.to - at) * f }, length);
}

export function pan(view: View, by: number, length: number): View {
  return fit({ from: view.from + by, to: view.to + by }, length);
}

/** The same span, moved only as far as it takes to have `u` in view, with some room around it. */
export function reveal(view: View, u: number, length: number): View {
  const room = (view.to - view.from) * 0.12;
  if (u < view.from + room) return pan(view, u - room - view.from, length);
  if (u > view.to - room) return pan(view, u + room - view.to, length);
  return view;
}

/** From times to pixels and back. */
export class Scale {
  constructor(readonly axis: Axis, readonly view: View, readonly left: number, readonly right: number) {}
  xOf(u: number): number { return this.left + (u - this.view.from) / (this.view.to - this.view.from) * (this.right - this.left); }
  uAt(x: number): number { return this.view.from + (x - this.left) / (this.right - this.left) * (this.view.to - this.view.from); }
  x(t: number): number { return this.xOf(this.axis.u(t)); }
  t(x: number): number { return this.axis.t(this.uAt(x)); }
  /** The times at both ends. */
  get from(): number { return this.t(this.left); }
  get to(): number { return this.t(this.right); }
  /** Positions a pixel. */
  get perPixel(): number { return (this.view.to - this.view.from) / (this.right - this.left); }
}

/** In each piece of so many pixels the roundest time that is in it. */
export function ticks(scale: Scale, pixels: number): number[] {
  const out: number[] = [];
  for (let x = scale.left; x < scale.right; x += pixels) {
    const low = Math.max(0, scale.t(x)), high = scale.t(Math.min(x + pixels, scale.right));
    if (high <= low) continue;
    const t = roundest(low, high);
    if (t !== undefined && (out.length === 0 || scale.x(t) - scale.x(out.at(-1)!) >= pixels * 0.7)) out.push(t);
  }
  return out;
}

function roundest(low: number, high: number): number | undefined {
  for (let power = 10 ** Math.ceil(Math.log10(high + 1)); power >= 1; power /= 10) {
    for (const step of [power, power / 2, power / 5]) {
      const t = Math.ceil(low / step) * step;
      if (step >= 1 && t < high) return t;
    }
  }
  return undefined;
}
