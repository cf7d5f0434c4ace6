// What all pictures of the timeline are drawn with: where things are, and how text is put.
import type { App } from "../app.ts";
import type { Lanes } from "../lanes.ts";
import type { Scale } from "../view.ts";
import { SMALL, type Theme } from "./theme.ts";

/** Where things are on the picture. */
export interface Frame { app: App; lanes: Lanes; scale: Scale; width: number; height: number }

export class Pen {
  protected readonly app: App;
  protected readonly lanes: Lanes;
  protected readonly scale: Scale;
  protected readonly width: number;
  protected readonly height: number;

  constructor(protected readonly g: CanvasRenderingContext2D, protected readonly look: Theme, frame: Frame) {
    ({ app: this.app, lanes: this.lanes, scale: this.scale, width: this.width, height: this.height } = frame);
  }

  protected disc(x: number, y: number, colour: string, ink: string, text: string): void {
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

  protected label(text: string, x: number, y: number, room: number, colour: string, font: string): void {
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
  protected plate(text: string, x: number, y: number, room: number): void {
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
