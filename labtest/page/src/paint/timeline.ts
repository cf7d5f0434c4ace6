// Draws the timeline: the axis, the lanes with their messages, the failure, the cursor.
import { above } from "../changes.ts";
import type { App } from "../app.ts";
import { type Arrow, AXIS, GUTTER, type Lane, type Lanes, arrowOf, lanesOf } from "../lanes.ts";
import { inView, serverAt } from "../moment.ts";
import { Scale, ticks } from "../view.ts";
import { duration, seconds } from "../words.ts";
import { ArrowPen } from "./arrows.ts";
import { type Frame, Pen } from "./pen.ts";
import { ServerPen } from "./servers.ts";
import { BOLD, FONT, SMALL, type Theme } from "./theme.ts";

/** More arrows than this on a screen say nothing. */
export const ARROWS_MAX = 700;

/** With more than these, letters would hide arrows. */
const LETTERS_MAX = 160;

export interface Drawn { lanes: Lanes; scale: Scale; arrows: Arrow[]; messages: number; singly: boolean }

export function paintTimeline(g: CanvasRenderingContext2D, app: App, look: Theme, width: number, height: number): Drawn {
  const { run, view } = app;
  const lanes = lanesOf(run, app.clients, height), scale = new Scale(app.axis, view, GUTTER, width);
  const frame: Frame = { app, lanes, scale, width, height: Math.max(height, lanes.height) };
  const picture = new Picture(g, look, frame), servers = new ServerPen(g, look, frame);
  g.fillStyle = look.paper;
  g.fillRect(0, 0, width, frame.height);
  g.textBaseline = "middle";
  g.save();
  g.beginPath();
  g.rect(GUTTER, 0, width - GUTTER, frame.height);
  g.clip();
  picture.axis();
  for (const server of run.servers) servers.server(server);
  picture.operations();
  const { messages, total } = app.flights.within(scale.from, scale.to, ARROWS_MAX);
  const singly = messages.length === total;
  const arrows = messages.flatMap(message => arrowOf(run, message, lanes, scale) ?? []);
  const pen = new ArrowPen(g, look, frame, singly && arrows.length < LETTERS_MAX);
  if (!singly) pen.density(total);
  for (const arrow of arrows) pen.arrow(arrow, !singly);
  pen.emphasised(arrows);
  picture.marks();
  picture.failure();
  picture.cursor();
  g.restore();
  picture.names();
  return { lanes, scale, arrows, messages: total, singly };
}

class Picture extends Pen {
  axis(): void {
    const { g, look, scale, width, app } = this;
    g.fillStyle = look.panel;
    g.fillRect(0, 0, width, AXIS);
    g.font = SMALL;
    for (const gap of app.axis.gapsWithin(app.view.from, app.view.to)) {
      const a = scale.xOf(gap.u1), b = scale.xOf(gap.u2);
      if (b - a < 30) continue;
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

  operations(): void {
    const { g, look, scale, width, app } = this;
    const core = new Set(app.run.failure?.core);
    const drawn = new Map<Lane, number>();
    for (const op of inView(app.run, app.clients, scale.from, scale.to)) {
      const lane = this.lanes.of.get(op.line.client);
      if (!lane) continue;
      const a = Math.max(scale.x(op.from.t), GUTTER), b = Math.min(scale.x(op.to?.t ?? app.run.duration), width);
      // Of several on one pixel, one is drawn.
      if (b - (drawn.get(lane) ?? -Infinity) < 0.5 && !core.has(op)) continue;
      drawn.set(lane, b);
      g.fillStyle = op.line.op === "get" ? look.term(1) : look.term(2);
      g.fillRect(a, lane.top, Math.max(b - a - 1, 1), lane.height);
      // What contradicts itself is framed.
      if (core.has(op)) { g.strokeStyle = look.bad; g.lineWidth = 2.5; g.strokeRect(a, lane.top - 1, Math.max(b - a - 1, 3), lane.height + 2); }
      if (!op.to) { g.globalAlpha = 0.4; g.fillStyle = look.hatch(g, look.ink, "/"); g.fillRect(a, lane.top, b - a, lane.height); g.globalAlpha = 1; }
      this.label(`${op.line.op} ${op.line.key}${op.line.value === undefined ? "" : ` ${op.line.value}`}`, a + 3, lane.top + lane.height / 2 + 0.5, b - a - 6, look.oncolour, SMALL);
    }
  }

  /** Notes of the student, log lines and accepted commands, as far as there is room for them. */
  marks(): void {
    const { g, look, scale, app } = this, { run } = app;
    const free = new Map<number, number>();
    let count = 0;
    for (let i = above(run.lineTimes, scale.from); i < run.lines.length && run.lineTimes[i]! <= scale.to && count < 4000; i++, count++) {
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
      // Before the operation: in it stands what it does.
      if (client) out.push([scale.x(app.run.times[step]!) - 8, client.top + client.height / 2]);
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
}
