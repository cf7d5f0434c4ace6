// Draws the servers' lanes: roles and terms as bands, crashes, freezes and partitions as shading.
import { above } from "../changes.ts";
import { GUTTER } from "../lanes.ts";
import type { Server } from "../model.ts";
import { whole } from "../moment.ts";
import { Pen } from "./pen.ts";
import { BOLD, SMALL } from "./theme.ts";

export class ServerPen extends Pen {
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
      if (b - a < 12) continue;
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
}
