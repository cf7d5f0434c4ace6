// Colours of the style sheet, and patterns for what colour alone must not say.
import type { Numeral } from "../log.ts";

const NAMES = [
  "paper", "ink", "soft", "line", "panel", "lane", "bad", "good", "accent", "cursor", "oncolour",
  "vote", "append", "heartbeat", "snapshot", "other", "dead", "cut", "frozen",
] as const;
export type Theme = Record<(typeof NAMES)[number], string> & {
  term: (term: Numeral) => string;
  /** Diagonal lines of a colour; `/` or `\`, or dots. */
  hatch: (g: CanvasRenderingContext2D, colour: string, kind: "/" | "\\" | ".") => CanvasPattern | string;
};

const TERMS = 8;
export const FONT = "12px system-ui, 'DejaVu Sans', sans-serif";
export const SMALL = "11px system-ui, 'DejaVu Sans', sans-serif";
export const BOLD = "600 12px system-ui, 'DejaVu Sans', sans-serif";

export function theme(): Theme {
  const style = getComputedStyle(document.documentElement);
  const value = (name: string) => style.getPropertyValue("--" + name).trim();
  const terms = Array.from({ length: TERMS }, (_, i) => value(`term${i}`));
  const patterns = new Map<string, CanvasPattern>();
  const hatch: Theme["hatch"] = (g, colour, kind) => {
    const known = patterns.get(kind + colour);
    if (known) return known;
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const t = tile.getContext("2d")!;
    t.strokeStyle = t.fillStyle = colour;
    t.lineWidth = 1.3;
    t.beginPath();
    if (kind === ".") t.fillRect(2, 2, 2, 2);
    else for (const d of [-8, 0, 8]) {
      if (kind === "/") { t.moveTo(d, 8); t.lineTo(d + 8, 0); } else { t.moveTo(d, 0); t.lineTo(d + 8, 8); }
    }
    t.stroke();
    const pattern = g.createPattern(tile, "repeat");
    if (pattern) patterns.set(kind + colour, pattern);
    return pattern ?? colour;
  };
  return {
    ...Object.fromEntries(NAMES.map(name => [name, value(name)])) as Record<(typeof NAMES)[number], string>,
    term: term => terms[((Number(term) - 1) % TERMS + TERMS) % TERMS]!, hatch,
  };
}
