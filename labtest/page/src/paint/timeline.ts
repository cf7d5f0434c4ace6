// Draws the lanes: roles and terms as bands, crashes, freezes and partitions as shading, messages as arrows.
import { above } from "../changes.ts";
import type { App } from "../app.ts";
import { type Arrow, AXIS, GUTTER, type Lanes, arrowOf, lanesOf } from "../lanes.ts";
import type { Message, Server } from "../model.ts";
import { serverAt, whole } from "../moment.ts";
import { Scale, ticks } from "../view.ts";
import { type Kind, duration, kindOf, refused, seconds } from "../words.ts";
import { BOLD, FONT, SMALL, type Theme } from "./theme.ts";

/** More arrows than this on a screen say nothing. */
export const ARROWS_MAX = 700;

/** With more than these, letters would hide arrows. */
const LETTERS_MAX = 160;

export interface Drawn { lanes: Lanes; scale: Scale; arrows: Arrow[]; messages: number; singly: boolean }

export function paintTimeline(g: CanvasRenderingContext2D, app: App, look: Theme, width: number, height: number): Drawn {
  const { run, view } = app;
  const lanes = lanesOf(run, app.clients, height), scale = new Scale(app.axis, view, GUTTER, width);
  const picture = new Picture(g, app, look, lanes, scale, width, Math.max(height, lanes.height));
  g.fillStyle = look.paper;
  g.fillRect(0, 0, width, Math.max(height, lanes.height));
  g.textBaseline = "middle";
  g.save();
  g.beginPath();
  g.rect(GUTTER, 0, width - GUTTER, picture.height);
  g.clip();
  picture.axis();
  for (const server of run.servers) picture.server(server);
  picture.operations();
  const { messages, total } = app.flights.within(scale.from, scale.to, ARROWS_MAX);
  const singly = messages.length === total;
  if (!singly) picture.density(total);
  const arrows = messages.flatMap(message => arrowOf(run, message, lanes, scale) ?? []);
  picture.letters = singly && arrows.length < LETTERS_MAX;
  for (const arrow of arrows) picture.arrow(arrow, !singly);
  picture.emphasised(arrows);
  picture.marks();
  picture.failure();
  picture.cursor();
  g.restore();
  picture.names();
  return { lanes, scale, arrows, messages: total, singly };
}

const LETTER: Record<Kind, string> = { vote: "V", append: "A", heartbeat: "h", snapshot: "S", other: "" };

class Picture {
  letters = true;

  constructor(
    private readonly g: CanvasRenderingContext2D, private readonly app: App, private readonly look: Theme,
    private readonly lanes: Lanes, private readonly scale: Scale, private readonly width: number, readonly height: number,
  ) {}

  axis(): void {
    const { g, look, scale, width, app } = this;
    g.fillStyle = look.panel;
    g.fillRect(0, 0, width, AXIS);
    g.font = SMALL;
    for (const gap of app.axis.gaps) {
      const a = scale.xOf(gap.u1), b = scale.xOf(gap.u2);
      if (b < GUTTER || a > width || b - a < 30) continue;
      // A break in the axis: here it is not to scale.
      g.fillStyle = look.hatch(g, look.line, "/");
      g.fillRect(a + 3, AXIS - 6, b - a - 6, 6);
      const text = `${duration(gap.to - gap.from)} quiet`, left = Math.max(a, GUTTER) + 6;
      if (g.measureText(text).width < b - left) this.label(text, left, AXIS - 12, width, look.soft, SMALL);
    }
    for (const t of ticks(scale, 100)) {
      g.fillStyle = look.line;
      g.fillRect(scale.x(t), AXIS - 32, 1, this.height);
      g.fillStyle = look.soft;
      g.textAlign = "left";
      g.fillText(seconds(t), scale.x(t) + 3, AXIS - 26);
    }
    // What the test was doing, up to its next phase.
    const { phases } = app.run;
    phases.forEach((phase, i) => {
      const from = scale.x(phase.moment.t), to = scale.x(phases[i + 1]?.moment.t ?? app.run.duration);
      if (to < GUTTER || from > width || to - from < 2) return;
      g.fillStyle = look.soft;
      if (from >= GUTTER) g.fillRect(from, 2, 1, 16);
      this.label(phase.title, Math.max(from, GUTTER) + 4, 10, Math.min(to, width) - Math.max(from, GUTTER) - 8, look.ink, FONT);
    });
  }

  server(server: Server): void {
    const { g, look, scale, width } = this, lane = this.lanes.of.get(server.number)!;
    const { top, height } = lane;
    g.fillStyle = look.lane;
    g.fillRect(GUTTER, top, width - GUTTER, height);
    const first = Math.max(0, above(server.bands.map(b => b.from), scale.from) - 1);
    let drawn = -Infinity;
    for (let i = first; i < server.bands.length; i++) {
      const band = server.bands[i]!;
      if (band.from > scale.to) break;
      const a = Math.max(scale.x(band.from), GUTTER), b = Math.min(scale.x(band.to), width);
      // Of several bands on one pixel, one is drawn.
      if (b < a || b - Math.max(a, drawn) < 0.5) continue;
      drawn = b;
      if (band.role === "dead") continue;
      g.fillStyle = look.term(band.term);
      if (band.role === "leader") g.fillRect(a, top, b - a, height);
      else {
        g.fillRect(a, top + height - 8, b - a, 8);
        if (band.role === "candidate") { g.fillRect(a, top + 4, b - a, height - 4); g.fillStyle = look.hatch(g, look.ink, "/"); g.fillRect(a, top + 4, b - a, height - 4); }
      }
      if (band.role === "leader") { g.strokeStyle = look.ink; g.lineWidth = 1.5; g.strokeRect(a + 0.75, top + 0.75, Math.max(b - a - 1.5, 0.5), height - 1.5); }
      const name = band.role === "leader" ? `LEADER, term ${band.term}` : band.role === "candidate" ? `candidate, term ${band.term}` : `term ${band.term}`;
      const brief = band.role === "leader" ? `L${band.term}` : band.role === "candidate" ? `C${band.term}` : `${band.term}`;
      g.font = band.role === "leader" ? BOLD : SMALL;
      const fits = g.measureText(name).width < b - a - 8;
      if (fits || g.measureText(brief).width < b - a - 4) {
        const text = fits ? name : brief;
        if (band.role === "candidate") { g.fillStyle = look.paper; g.globalAlpha = 0.8; g.fillRect(a + 2, top + 5, g.measureText(text).width + 6, height - 7); g.globalAlpha = 1; }
        g.fillStyle = band.role === "follower" ? look.soft : band.role === "candidate" ? look.ink : look.oncolour;
        g.textAlign = "left";
        g.fillText(text, a + 5, band.role === "follower" ? top + 8 : top + height / 2 + 1);
      }
    }
    this.cutOff(server, top, height);
    for (const span of server.still) this.shade(span.from, span.to, top, height, look.frozen, ".", "frozen");
    for (const span of server.dead) {
      this.shade(span.from, span.to, top, height, look.dead, "\\", "crashed");
      const x = scale.x(span.from);
      g.fillStyle = look.ink;
      g.font = BOLD;
      g.textAlign = "center";
      if (x > GUTTER - 6 && x < width + 6) g.fillText("\u2716", x, top - 1);
    }
  }

  private shade(from: number, to: number, top: number, height: number, colour: string, kind: "/" | "\\" | ".", text: string): void {
    const { g, look, scale, width } = this;
    const a = Math.max(scale.x(from), GUTTER), b = Math.min(scale.x(to), width);
    if (b <= a) return;
    g.fillStyle = look.paper;
    g.fillRect(a, top, b - a, height);
    g.globalAlpha = 0.2;
    g.fillStyle = colour;
    g.fillRect(a, top, b - a, height);
    g.globalAlpha = 0.8;
    g.fillStyle = look.hatch(g, colour, kind);
    g.fillRect(a, top, b - a, height);
    g.globalAlpha = 1;
    this.plate(text, a + 5, top + height / 2, b - a - 10);
  }

  /** Above and below a lane: who cannot be reached, and who is in which part of a split network. */
  private cutOff(server: Server, top: number, height: number): void {
    const { g, look, scale, width, app } = this, { links } = app.run;
    for (let i = Math.max(0, above(links.steps, app.stepAt(scale.from)) - 1); i < links.steps.length; i++) {
      const from = app.run.times[links.steps[i]!]!, to = app.run.times[links.steps[i + 1]!] ?? app.run.duration;
      if (from > scale.to) break;
      const groups = links.values[i]!;
      if (whole(app.run, groups)) continue;
      const a = Math.max(scale.x(from), GUTTER), b = Math.min(scale.x(to), width);
      if (b <= a) continue;
      const several = groups.filter(group => group.length > 1);
      const at = several.findIndex(group => group.includes(server.number));
      if (at < 0) {
        g.fillStyle = look.hatch(g, look.cut, "/");
        g.fillRect(a, top - 7, b - a, 6);
        g.fillRect(a, top + height + 1, b - a, 6);
        this.plate("cut off", a + 5, top - 4, b - a - 10);
      } else if (several.length > 1) {
        g.fillStyle = at === 0 ? look.accent : look.snapshot;
        g.fillRect(a, top + height + 1, b - a, 3);
        this.plate(`part ${String.fromCharCode(65 + at)}`, a + 5, top + height + 6, b - a - 10);
      }
    }
  }

  operations(): void {
    const { g, look, scale, width, app } = this;
    const core = new Set(app.run.failure?.core);
    for (const op of app.run.operations.values()) {
      const lane = this.lanes.of.get(op.line.client);
      if (!lane) continue;
      const a = Math.max(scale.x(op.from.t), GUTTER), b = Math.min(scale.x(op.to?.t ?? app.run.duration), width);
      if (b < GUTTER || a > width) continue;
      g.fillStyle = op.line.op === "get" ? look.term(1) : look.term(2);
      g.fillRect(a, lane.top, Math.max(b - a - 1, 1), lane.height);
      // What contradicts itself is framed.
      if (core.has(op)) { g.strokeStyle = look.bad; g.lineWidth = 2.5; g.strokeRect(a, lane.top - 1, Math.max(b - a - 1, 3), lane.height + 2); }
      if (!op.to) { g.fillStyle = look.hatch(g, look.ink, "/"); g.fillRect(a, lane.top, b - a, lane.height); }
      this.label(`${op.line.op} ${op.line.key}${op.line.value === undefined ? "" : ` ${op.line.value}`}`, a + 3, lane.top + lane.height / 2 + 0.5, b - a - 6, look.oncolour, SMALL);
    }
  }

  density(total: number): void {
    const { g, look, scale, width, app } = this;
    const columns = Math.max(1, Math.floor((width - GUTTER) / 3));
    const { sent, lost } = app.flights.density(scale, columns);
    const most = Math.max(1, ...sent), last = this.lanes.of.get(app.run.servers.length - 1)!;
    const bottom = last.top + last.height, top = AXIS + 8;
    for (let i = 0; i < columns; i++) {
      if (sent[i] === 0) continue;
      const x = GUTTER + i / columns * (width - GUTTER);
      g.globalAlpha = 0.08 + 0.3 * sent[i]! / most;
      g.fillStyle = look.append;
      g.fillRect(x, top, 3, bottom - top);
      g.globalAlpha = 0.75;
      g.fillStyle = look.bad;
      g.fillRect(x, bottom + 10 - 8 * lost[i]! / most, 3, 8 * lost[i]! / most);
    }
    g.globalAlpha = 1;
    this.plate(`${total.toLocaleString("en")} messages in view, shown as shading (red below: lost); only RequestVote and InstallSnapshot as arrows. Zoom in for all.`, GUTTER + 8, bottom + 14, width - GUTTER - 16);
  }

  arrow(arrow: Arrow, faint: boolean, strong = false): void {
    const { g, look, app } = this, { message, x1, y1, x2, y2 } = arrow;
    const kind = kindOf(app.run, message);
    const lost = message.fate === "dropped" && message.why !== "CallOver";
    g.strokeStyle = g.fillStyle = look[kind];
    g.globalAlpha = strong ? 1 : faint ? 0.55 : message.why === "CallOver" ? 0.4 : 0.9;
    g.lineWidth = strong ? 3 : kind === "heartbeat" ? 1 : 1.5;
    // A reply is dashed; what was held or delayed is dotted; a copy has long dashes.
    g.setLineDash(message.original ? [9, 3] : message.delay > 0 || message.held ? [2, 4] : message.reply ? [5, 3] : []);
    g.beginPath();
    g.moveTo(x1, y1);
    g.lineTo(x2, y2);
    g.stroke();
    g.setLineDash([]);
    const angle = Math.atan2(y2 - y1, x2 - x1);
    if (message.fate === "delivered") {
      const size = strong ? 9 : 6.5, wide = 0.42;
      g.beginPath();
      g.moveTo(x2, y2);
      g.lineTo(x2 - size * Math.cos(angle - wide), y2 - size * Math.sin(angle - wide));
      g.lineTo(x2 - size * Math.cos(angle + wide), y2 - size * Math.sin(angle + wide));
      g.closePath();
      // A refusal has an open head.
      if (refused(message)) { g.fillStyle = look.paper; g.fill(); g.lineWidth = 1.5; g.strokeStyle = look.bad; g.stroke(); } else g.fill();
    } else if (lost) {
      g.strokeStyle = look.bad;
      g.lineWidth = strong ? 3 : 2;
      const d = strong ? 6 : 4;
      g.beginPath();
      g.moveTo(x2 - d, y2 - d); g.lineTo(x2 + d, y2 + d);
      g.moveTo(x2 - d, y2 + d); g.lineTo(x2 + d, y2 - d);
      g.stroke();
    } else if (message.why === "CallOver") {
      g.beginPath();
      g.arc(x2, y2, 3, 0, 7);
      g.stroke();
    }
    g.globalAlpha = 1;
    if ((strong || this.letters) && LETTER[kind] !== "" && !message.reply && (kind !== "heartbeat" || strong)) {
      const x = x1 + (x2 - x1) * 0.5, y = y1 + (y2 - y1) * 0.5;
      this.disc(x, y, look[kind], look.paper, LETTER[kind]);
    }
  }

  private disc(x: number, y: number, colour: string, ink: string, text: string): void {
    const { g } = this;
    g.fillStyle = colour;
    g.beginPath();
    g.arc(x, y, 7, 0, 7);
    g.fill();
    g.fillStyle = ink;
    g.font = "600 10px system-ui, 'DejaVu Sans', sans-serif";
    g.textAlign = "center";
    g.fillText(text, x, y + 0.5);
  }

  /** The selected call, what the pointer is on, and what the cursor's step is about. */
  emphasised(arrows: Arrow[]): void {
    const { app, g, look } = this, { run, selected, hovered, step } = app;
    const strong = new Set<Message>(run.about.get(step) ?? []);
    if (hovered) strong.add(hovered);
    const call = selected && run.calls.get(selected.line.call);
    for (const message of [selected, call?.request, ...(call?.replies ?? [])]) if (message) strong.add(message);
    for (const message of strong) {
      const arrow = arrows.find(arrow => arrow.message === message) ?? arrowOf(run, message, this.lanes, this.scale);
      if (!arrow) continue;
      this.arrow(arrow, false, true);
      g.fillStyle = look.cursor;
      for (const [moment, x, y] of [[message.sent, arrow.x1, arrow.y1], [message.end, arrow.x2, arrow.y2]] as const) {
        if (moment?.step !== step) continue;
        g.beginPath();
        g.arc(x, y, 4, 0, 7);
        g.fill();
      }
    }
  }

  /** Notes of the student, log lines and accepted commands, as far as there is room for them. */
  marks(): void {
    const { g, look, scale, app } = this, { run } = app;
    const times = run.lines.map(l => l.moment.t);
    const free = new Map<number, number>();
    let count = 0;
    for (let i = above(times, scale.from); i < run.lines.length && times[i]! <= scale.to && count < 4000; i++, count++) {
      const { line, moment } = run.lines[i]!;
      const lane = line.server === undefined ? undefined : this.lanes.of.get(line.server);
      if (!lane) continue;
      const x = scale.x(moment.t);
      const bad = line.level.toLowerCase() === "error" || line.level.toLowerCase() === "warn";
      g.fillStyle = bad ? look.bad : line.target === "note" ? look.accent : look.soft;
      g.fillRect(x - 1, lane.top + lane.height - 4, 2, line.target === "note" ? 8 : 4);
      if (line.target === "note" && x >= (free.get(line.server!) ?? -Infinity)) {
        this.plate("\u270e " + line.text, x + 3, lane.top + lane.height + 8, 190);
        free.set(line.server!, x + 70);
      }
    }
  }

  failure(): void {
    const { g, look, scale, app } = this, { failure } = app.run;
    if (!failure) return;
    const x = scale.x(failure.moment.t);
    g.fillStyle = look.bad;
    g.globalAlpha = 0.12;
    const concerned = (failure.line.servers ?? []).filter(number => number < app.run.servers.length);
    // What is about all of them is about none.
    for (const number of concerned.length < app.run.servers.length ? concerned : []) {
      const lane = this.lanes.of.get(number);
      if (lane) g.fillRect(GUTTER, lane.top - 4, this.width, lane.height + 8);
    }
    g.globalAlpha = 1;
    g.fillRect(x - 1, 0, 2.5, this.height);
    g.font = BOLD;
    g.textAlign = "left";
    const text = "\u2716 failure", room = g.measureText(text).width + 8;
    const left = x + room > this.width ? x - room : x;
    g.fillRect(left, 19, room, 17);
    g.fillStyle = look.paper;
    g.fillText(text, left + 4, 28);
    // The events that show it, numbered as in the head of the page.
    failure.evidence.forEach((step, i) => {
      const at = scale.x(app.run.times[step]!);
      if (at < GUTTER - 8 || at > this.width + 8) return;
      const places = this.placesOf(step);
      for (const [px, py] of places.slice(0, 1)) this.disc(px, py, look.bad, look.paper, String(i + 1));
    });
  }

  /** Where on the picture a step is. */
  private placesOf(step: number): [number, number][] {
    const { app, scale } = this;
    const out: [number, number][] = [];
    for (const message of app.run.about.get(step) ?? []) {
      const arrow = arrowOf(app.run, message, this.lanes, scale);
      if (!arrow) continue;
      const near = message.sent.step === step ? 0.16 : 0.84;
      out.push([arrow.x1 + (arrow.x2 - arrow.x1) * near, arrow.y1 + (arrow.y2 - arrow.y1) * near]);
    }
    for (let i = app.run.starts[step]!; i < app.run.starts[step + 1]!; i++) {
      const line = app.run.log.lines[i]!;
      const lane = "server" in line && line.server !== undefined ? this.lanes.of.get(line.server) : undefined;
      if (lane) out.push([scale.x(app.run.times[step]!), lane.top + lane.height / 2]);
      const client = line.kind === "op" ? this.lanes.of.get(line.client) : undefined;
      if (client) out.push([scale.x(app.run.times[step]!), client.top + client.height / 2]);
    }
    return out;
  }

  cursor(): void {
    const { g, look, scale, app } = this;
    const x = scale.x(app.t);
    g.fillStyle = look.cursor;
    g.fillRect(x - 0.5, 0, 1.5, this.height);
    g.beginPath();
    g.moveTo(x - 6, 0); g.lineTo(x + 6, 0); g.lineTo(x, 8);
    g.fill();
  }

  /** The lanes' names, with the state of each server at the cursor. */
  names(): void {
    const { g, look, app } = this;
    g.fillStyle = look.paper;
    g.fillRect(0, 0, GUTTER - 1, this.height);
    g.fillStyle = look.line;
    g.fillRect(GUTTER - 1, 0, 1, this.height);
    g.textAlign = "left";
    for (const { party, top, height } of this.lanes.lanes) {
      if (typeof party === "string") { this.label(party, 8, top + height / 2, GUTTER - 14, look.soft, SMALL); continue; }
      const now = serverAt(app.run, app.run.servers[party]!, app.step);
      g.font = BOLD;
      g.fillStyle = look.ink;
      g.fillText(`server ${party}`, 8, top + 7);
      const role = !now.alive ? (now.known ? "\u2716 crashed" : "not started") : now.frozen ? "frozen" : now.role;
      this.label(`${role}, term ${now.term}`, 8, top + 21, GUTTER - 12, now.role === "leader" ? look.ink : look.soft, SMALL);
    }
  }

  private label(text: string, x: number, y: number, room: number, colour: string, font: string): void {
    const { g } = this;
    if (room < 14) return;
    g.font = font;
    let shown = text.length > 200 ? text.slice(0, 200) : text;
    if (g.measureText(shown).width > room) {
      const fits = Math.floor(shown.length * room / g.measureText(shown).width) - 1;
      if (fits < 2) return;
      shown = shown.slice(0, fits) + "\u2026";
    }
    g.fillStyle = colour;
    g.textAlign = "left";
    g.fillText(shown, x, y);
  }

  /** A label on a ground of its own. */
  private plate(text: string, x: number, y: number, room: number): void {
    const { g, look } = this;
    g.font = SMALL;
    if (room < 24) return;
    const wide = Math.min(g.measureText(text).width, room);
    g.fillStyle = look.paper;
    g.globalAlpha = 0.85;
    g.fillRect(x - 2, y - 7, wide + 5, 14);
    g.globalAlpha = 1;
    this.label(text, x, y, room + 1, look.ink, SMALL);
  }
}
