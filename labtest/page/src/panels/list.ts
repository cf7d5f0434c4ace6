// The student's log lines, notes and the test's phases, and on request every event: a list that follows the cursor.
import { LEVELS, type LinesWanted } from "../address.ts";
import type { App } from "../app.ts";
import { above } from "../changes.ts";
import { h } from "../dom.ts";
import type { Run } from "../model.ts";
import { seconds, stepSentence } from "../words.ts";

const HIGH = 19;

export interface Row { step: number; t: number; server: number | undefined; look: string; text: string }
export type Wanted = LinesWanted & { events: boolean };

/** All rows that are wanted, in the order of time. `steps`: the events that the filters show. */
export function rowsOf(run: Run, wanted: Wanted, steps: readonly number[]): Row[] {
  const rows: Row[] = [];
  const words = wanted.text.toLowerCase();
  const add = (row: Row) => { if (words === "" || row.text.toLowerCase().includes(words)) rows.push(row); };
  for (const { line, moment } of run.lines) {
    const level = LEVELS.indexOf(line.level.toLowerCase());
    const note = line.target === "note";
    if (!note && level > wanted.level) continue;
    if (wanted.server !== undefined && line.server !== wanted.server) continue;
    const who = line.server === undefined ? line.thread : `S${line.server}`;
    add({ step: moment.step, t: moment.t, server: line.server, look: note ? "note" : LEVELS[level] ?? "info", text: `${who} ${note ? "\u270e" : line.level.toLowerCase()} ${line.text.replaceAll("\n", " \u21b5 ")}` });
  }
  if (wanted.server === undefined) for (const { title, moment } of run.phases) add({ step: moment.step, t: moment.t, server: undefined, look: "phase", text: `\u25b8 ${title}` });
  if (run.failure) add({ step: run.failure.moment.step, t: run.failure.moment.t, server: undefined, look: "failure", text: `\u2716 ${run.failure.line.text.split("\n", 1)[0]}` });
  if (wanted.events) {
    const concerned = new RegExp(`\\b(S|server )${wanted.server}\\b`);
    for (const step of steps) {
      const text = stepSentence(run, step);
      if (text === "" || text.startsWith("the test:") || text.startsWith("FAILURE")) continue;
      if (wanted.server !== undefined && !concerned.test(text)) continue;
      add({ step, t: run.times[step]!, server: undefined, look: "event", text });
    }
  }
  return rows.sort((a, b) => a.step - b.step);
}


export class List {
  private rows: Row[] = [];
  private steps: number[] = [];
  /** The rows that are in view, by their places. */
  private readonly made = new Map<number, HTMLElement>();
  /** Holds the list's height. */
  private readonly spacer = h("div");
  private events: boolean;
  private readonly level: HTMLSelectElement;
  private readonly server: HTMLSelectElement;
  private readonly scroller: HTMLElement;
  private readonly count: HTMLElement;
  readonly search: HTMLInputElement;
  private step = -1;

  constructor(element: HTMLElement, private readonly app: App) {
    const { run } = app;
    this.events = run.lines.length === 0;
    const select = (title: string, options: [string, string][], change: (value: string) => void) => {
      const made = h("select", { "aria-label": title, title, change: () => { change(made.value); this.refill(); } });
      for (const [value, text] of options) made.add(new Option(text, value));
      return made;
    };
    this.level = select("least level of log lines", LEVELS.map((name, i) => [String(i), i === 0 ? "errors only" : i === 4 ? "all levels" : `${name} and above`]), v => app.setLines({ level: Number(v) }));
    this.server = select("whose log lines", [["", "all servers"], ...run.servers.map((s): [string, string] => [String(s.number), `server ${s.number}`])], v => app.setLines({ server: v === "" ? undefined : Number(v) }));
    this.search = h("input", { type: "search", placeholder: "search (/)", "aria-label": "search the lines", input: () => { app.setLines({ text: this.search.value }); this.refill(); } });
    const events = h("input", { type: "checkbox", change: () => { this.events = events.checked; this.refill(); } });
    events.checked = this.events;
    this.count = h("span", { class: "soft" });
    this.scroller = h("div", { id: "rows", scroll: () => this.fill() });
    element.append(h("div", { class: "bar" }, this.level, this.server, h("label", {}, events, "events"), this.search, this.count), this.scroller);
    this.refill();
  }

  /** What is wanted has changed. */
  refill(): void {
    const { run, lines, visibleSteps } = this.app;
    // A link may have asked for others than the reader did.
    this.level.value = String(lines.level);
    this.server.value = lines.server === undefined ? "" : String(lines.server);
    if (this.search.value !== lines.text) this.search.value = lines.text;
    this.rows = rowsOf(run, { ...lines, events: this.events }, visibleSteps);
    this.steps = this.rows.map(row => row.step);
    this.count.textContent = this.rows.length === 0 ? "nothing" : `${this.rows.length.toLocaleString("en")} ${this.rows.length === 1 ? "line" : "lines"}`;
    this.made.clear();
    this.spacer.style.height = `${this.rows.length * HIGH}px`;
    this.scroller.replaceChildren(this.spacer);
    this.step = -1;
    this.follow();
  }

  /** Brings the cursor's line into view, if the cursor moved. Asks for what is laid out before it changes anything. */
  follow(): void {
    const { clientHeight } = this.scroller;
    if (this.step !== this.app.step) {
      // A list that is not laid out yet cannot be scrolled.
      this.step = clientHeight === 0 ? -1 : this.app.step;
      const at = Math.max(0, above(this.steps, this.app.step) - 1) * HIGH, top = this.scroller.scrollTop;
      if (at < top + HIGH || at > top + clientHeight - 2 * HIGH) {
        this.spacer.style.height = `${this.rows.length * HIGH}px`;
        this.scroller.scrollTop = at - clientHeight * 0.55;
      }
    }
    this.fill();
  }

  get visible(): string[] { return [...this.scroller.querySelectorAll(".row")].map(row => row.textContent ?? ""); }
  get total(): number { return this.rows.length; }

  /** Makes the rows in view, those that are not there yet. */
  private fill(): void {
    const { rows, app, scroller } = this, first = Math.max(0, Math.floor(scroller.scrollTop / HIGH) - 4);
    const last = Math.min(rows.length, first + Math.ceil((scroller.clientHeight || 300) / HIGH) + 8);
    for (const [i, element] of this.made) if (i < first || i >= last) { element.remove(); this.made.delete(i); }
    for (let i = first; i < last; i++) {
      const row = rows[i]!;
      const when = row.step === app.step ? "here" : row.step < app.step ? "past" : "future", look = `row ${row.look} ${when}`;
      let element = this.made.get(i);
      if (!element) {
        element = h("div", { title: row.text, click: () => app.moveTo(row.step) }, `${seconds(row.t).padStart(11)}  ${row.text}`);
        element.style.top = `${i * HIGH}px`;
        scroller.append(element);
        this.made.set(i, element);
      }
      if (element.className !== look) element.className = look;
    }
  }
}
