// Draws messages as arrows with their fate, or as shading where they are too many.
import { type Arrow, AXIS, GUTTER, arrowOf } from "../lanes.ts";
import type { Message } from "../model.ts";
import { type Kind, kindOf, refused } from "../words.ts";
import { type Frame, Pen } from "./pen.ts";
import type { Theme } from "./theme.ts";

const LETTER: Record<Kind, string> = { vote: "V", append: "A", heartbeat: "h", snapshot: "S", other: "" };

export class ArrowPen extends Pen {
  /** `letters`: whether arrows have letters. */
  constructor(g: CanvasRenderingContext2D, look: Theme, frame: Frame, private readonly letters: boolean) { super(g, look, frame); }

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
}
