// Draws the whole run in a strip: who led which term, how much was sent, where it failed, and what is in view.
import type { App } from "../app.ts";
import { GUTTER } from "../lanes.ts";
import { Scale, all } from "../view.ts";
import { SMALL, type Theme } from "./theme.ts";

export const OVERVIEW = 46;

export const overviewScale = (app: App, width: number): Scale => new Scale(app.axis, all(app.axis.length), GUTTER, width);

export function paintOverview(g: CanvasRenderingContext2D, app: App, look: Theme, width: number): void {
  const { run } = app, scale = overviewScale(app, width);
  g.fillStyle = look.panel;
  g.fillRect(0, 0, width, OVERVIEW);
  const columns = Math.max(1, Math.floor((width - GUTTER) / 2));
  const { sent } = app.flights.density(scale, columns);
  const most = Math.max(1, ...sent);
  g.fillStyle = look.heartbeat;
  for (let i = 0; i < columns; i++) {
    const high = sent[i]! / most * 18;
    if (high > 0) g.fillRect(GUTTER + i * 2, OVERVIEW - high, 2, Math.max(high, 1));
  }
  const row = Math.min(5, 26 / Math.max(run.servers.length, 1));
  for (const server of run.servers) {
    const y = 1 + server.number * row;
    for (const band of server.bands) {
      if (band.role !== "leader") continue;
      g.fillStyle = look.ink;
      g.fillRect(scale.x(band.from), y, Math.max(scale.x(band.to) - scale.x(band.from), 1), row - 1);
      g.fillStyle = look.term(band.term);
      g.fillRect(scale.x(band.from), y + 0.5, Math.max(scale.x(band.to) - scale.x(band.from), 1), row - 2);
    }
    g.fillStyle = look.hatch(g, look.dead, "\\");
    for (const span of server.dead) g.fillRect(scale.x(span.from), y, Math.max(scale.x(span.to) - scale.x(span.from), 1), row - 1);
  }
  for (const [t, colour] of [[app.t, look.cursor], [run.failure?.moment.t, look.bad]] as const) {
    if (t === undefined) continue;
    g.fillStyle = colour;
    g.fillRect(scale.x(t) - 1, 0, 2, OVERVIEW);
  }
  g.strokeStyle = look.accent;
  g.lineWidth = 2;
  const a = Math.max(scale.xOf(app.view.from), GUTTER), b = Math.min(scale.xOf(app.view.to), width);
  g.strokeRect(a, 1, Math.max(b - a, 4), OVERVIEW - 2);
  g.fillStyle = look.panel;
  g.fillRect(0, 0, GUTTER, OVERVIEW);
  g.fillStyle = look.soft;
  g.font = SMALL;
  g.textAlign = "left";
  g.textBaseline = "middle";
  g.fillText("whole run: leaders", 8, 13);
  g.fillText("messages", 8, 36);
}
