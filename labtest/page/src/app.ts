// What the reader looks at: one state, changed only here; whoever shows it is told.
import * as address from "./address.ts";
import { Axis, usualFlight } from "./axis.ts";
import { type Filter, everything, shown, stops } from "./filter.ts";
import { Flights } from "./lanes.ts";
import type { Message, Run } from "./model.ts";
import { above } from "./changes.ts";
import { type View, all, fit, pan, reveal, zoom } from "./view.ts";

/** How many messages before the failure, or at the run's begin, are in view when the page opens. */
const OPENING = 60;
/** Earlier evidence than this, in microseconds before the failure, does not widen the opening view. */
const OPENING_SPAN = 1_500_000;

/** Nor does evidence before so many messages: they could not be told apart. */
const OPENING_MOST = 300;

/** More clients than these have no lanes unless they are asked for. */
const CLIENTS_FEW = 6;

export class App {
  step = 0;
  axis: Axis;
  view: View;
  filter: Filter = everything();
  /** The log lines that are listed. */
  lines: address.LinesWanted = address.allLines();
  /** The clients that have lanes. */
  clients: readonly string[];
  selected: Message | undefined;
  hovered: Message | undefined;
  /** The first index shown of the logs; they follow their ends if it is not given. */
  index: number | undefined;
  flights: Flights;
  private readonly unit: number;
  private stops: number[];
  private readonly changes: number[];
  private readonly watchers: (() => void)[] = [];

  constructor(readonly run: Run) {
    this.clients = this.fewClients();
    this.flights = new Flights(run, []);
    this.stops = [];
    this.changes = [...new Set(run.servers.flatMap(s => s.bands.map(band => band.step)))].sort((a, b) => a - b);
    this.unit = usualFlight(run.messages.filter(m => m.fate === "delivered").map(m => m.end!.t - m.sent.t));
    this.axis = new Axis(run.times, true, this.unit);
    this.view = all(this.axis.length);
    this.refilter();
    this.open();
  }

  watch(watcher: () => void): void { this.watchers.push(watcher); }
  private changed(): void { for (const watcher of this.watchers) watcher(); }

  /** The failing moment if there is one, else the begin. */
  private open(): void {
    const { run } = this, failure = run.failure;
    // All servers are started before one of them sends anything.
    this.step = failure?.moment.step ?? Math.max(0, (run.messages[0]?.sent.step ?? 0) - 1);
    // A history is judged when the run is over; what contradicts itself was long before.
    const last = failure?.core.at(-1);
    if (last) this.step = last.to?.step ?? last.from.step;
    const t = last ? this.t : failure?.moment.t ?? 0;
    const sent = run.messages.map(m => m.sent.t);
    const at = above(sent, t);
    const back = sent[Math.max(0, at - OPENING)] ?? 0;
    const evidence = (failure?.evidence ?? []).map(step => run.times[step]!)
      .filter(e => e > t - OPENING_SPAN && at - above(sent, e) < OPENING_MOST);
    const from = failure ? Math.min(back, ...evidence) : 0;
    const to = failure ? t : sent[Math.min(OPENING, sent.length - 1)] ?? run.duration;
    const { axis } = this, a = axis.u(from), b = axis.u(to), room = Math.max((b - a) * 0.06, this.unit);
    this.view = fit({ from: a - room, to: b + room }, axis.length);
  }

  /** Where the cursor is on the axis. */
  get u(): number { return this.axis.u(this.t); }
  get t(): number { return this.run.times[this.step] ?? 0; }

  setView(view: View): void { this.view = fit(view, this.axis.length); this.changed(); }
  zoom(factor: number, at = this.u >= this.view.from && this.u <= this.view.to ? this.u : (this.view.from + this.view.to) / 2): void {
    this.view = zoom(this.view, factor, at, this.axis.length);
    this.changed();
  }
  pan(part: number): void { this.view = pan(this.view, part * (this.view.to - this.view.from), this.axis.length); this.changed(); }
  whole(): void { this.view = all(this.axis.length); this.changed(); }

  /** Shortens quiet times, or no longer; what is in view stays in view. */
  shorten(yes: boolean): void {
    const { axis, view } = this, from = axis.t(view.from), to = axis.t(view.to);
    this.axis = new Axis(this.run.times, yes, this.unit);
    this.setView({ from: this.axis.u(from), to: this.axis.u(to) });
  }

  moveTo(step: number): void {
    this.step = Math.min(Math.max(step, 0), Math.max(this.run.times.length - 1, 0));
    this.view = reveal(this.view, this.u, this.axis.length);
    this.changed();
  }
  /** Forward or back over so many of the events that the filters show. */
  stepBy(count: number): void {
    const { stops, step } = this;
    if (stops.length === 0) return;
    const at = above(stops, step);
    // Between two stops, the first step back leads to the one before.
    const here = stops[at - 1] === step ? at - 1 : count > 0 ? at - 1 : at;
    this.moveTo(stops[Math.min(Math.max(here + count, 0), stops.length - 1)]!);
  }
  /** The last step at or before a time. */
  stepAt(t: number): number { return Math.max(0, above(this.run.times, t) - 1); }

  select(message: Message | undefined): void { this.selected = message; this.changed(); }
  hover(message: Message | undefined): void { if (this.hovered !== message) { this.hovered = message; this.changed(); } }
  scrollLogs(index: number | undefined): void { this.index = index; this.changed(); }

  setFilter(change: (filter: Filter) => void): void { change(this.filter); this.refilter(); this.changed(); }
  showClients(all: boolean): void { this.clients = all ? this.run.clients : this.fewClients().length < this.run.clients.length ? this.fewClients() : []; this.changed(); }
  setLines(change: Partial<address.LinesWanted>): void { this.lines = { ...this.lines, ...change }; this.changed(); }
  get allClients(): boolean { return this.clients.length === this.run.clients.length; }
  /** All, if they are few; else those whose operations show the failure. */
  private fewClients(): readonly string[] {
    const { clients, failure } = this.run, core = failure?.core.map(op => op.line.client) ?? [];
    return clients.length <= CLIENTS_FEW ? clients : clients.filter(client => core.includes(client));
  }
  private refilter(): void {
    this.flights = new Flights(this.run, shown(this.run, this.filter));
    this.stops = stops(this.run, this.filter);
  }
  /** The events that the filters show. */
  get visibleSteps(): readonly number[] { return this.stops; }
  get shownMessages(): number { return this.flights.count; }

  toFailure(): void { if (this.run.failure) { this.open(); this.changed(); } }
  /** To the next event that shows the failure, or the one before; from the failure itself, where the page opens, to the first. */
  toEvidence(direction: 1 | -1): void {
    const { step, run: { failure } } = this;
    if (!failure) return;
    const steps = [...failure.evidence, failure.moment.step].sort((a, b) => a - b);
    this.moveAmong(steps, direction);
    if (this.step === step) this.moveTo(direction > 0 ? steps[0]! : steps.at(-1)!);
  }
  /** To the next change of a server's role or term, or the last one. */
  toChange(direction: 1 | -1): void { this.moveAmong(this.changes, direction); }
  private moveAmong(steps: readonly number[], direction: 1 | -1): void {
    const step = direction > 0 ? steps.find(s => s > this.step) : steps.findLast(s => s < this.step);
    if (step !== undefined) this.moveTo(step);
  }

  /** From one stage of a call to the next: request sent, delivered, reply sent, delivered. */
  followCall(): void {
    const { run, selected } = this;
    if (!selected) return;
    const call = run.calls.get(selected.line.call);
    const stages = [call?.request, ...(call?.replies ?? []).slice(0, 1)].flatMap(m => m ? [[m, m.sent.step], [m, m.end?.step ?? m.sent.step]] as const : []);
    const next = stages.find(([, step]) => step > this.step) ?? stages[0];
    if (next) { this.selected = next[0]; this.moveTo(next[1]); }
  }

  address(): string {
    const { run, step, view, selected, filter, lines, axis } = this;
    const n = run.numbers[step];
    return address.write({ ...(n !== undefined && { n }), from: axis.t(view.from), to: axis.t(view.to), even: !axis.shortened, ...(selected && { m: selected.line.id }), filter, lines });
  }
  goTo(hash: string): void {
    const { n, from, to, m, filter, lines, even } = address.read(hash);
    if (even === this.axis.shortened) this.axis = new Axis(this.run.times, !even, this.unit);
    // A link of the page's own that names no filter, or no message, means none.
    if (filter || n !== undefined) { this.filter = filter ?? everything(); this.refilter(); }
    if (lines || n !== undefined) this.lines = lines ?? address.allLines();
    if (n !== undefined) this.step = Math.max(0, above(this.run.numbers, n) - 1);
    if (from !== undefined && to !== undefined && from < to) this.view = fit({ from: this.axis.u(from), to: this.axis.u(to) }, this.axis.length);
    else if (n !== undefined) this.view = reveal(this.view, this.u, this.axis.length);
    if (m !== undefined || n !== undefined) this.selected = this.run.messages.find(message => message.line.id === m);
    this.changed();
  }
}
