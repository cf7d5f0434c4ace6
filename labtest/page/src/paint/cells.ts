// Draws the logs at the cursor: cells coloured by term, what is committed and applied, and what the leader knows.
import { CELL, type CellsView, HEAD, LABEL, ROW } from "../cells.ts";
import { BOLD, FONT, SMALL, type Theme } from "./theme.ts";

export const cellsHeight = (view: CellsView): number => HEAD + view.rows.length * ROW + 34;

export function paintCells(g: CanvasRenderingContext2D, view: CellsView, look: Theme, width: number, wrong: number | undefined): void {
  g.fillStyle = look.paper;
  g.fillRect(0, 0, width, cellsHeight(view));
  g.textBaseline = "middle";
  g.font = SMALL;
  g.textAlign = "center";
  const x = (index: number) => LABEL + (index - view.first) * CELL;
  for (let index = view.first; index < view.first + view.count; index++) {
    const wide = index > 999;
    if (wide && index % 2 !== 0) continue;
    g.fillStyle = index === wrong ? look.bad : look.soft;
    g.font = index === wrong ? BOLD : SMALL;
    g.fillText(String(index), x(index) + CELL / 2, HEAD / 2);
  }
  g.fillStyle = look.soft;
  g.font = SMALL;
  g.textAlign = "left";
  g.fillText("index", LABEL - 34, HEAD / 2);
  if (wrong !== undefined && wrong >= view.first && wrong < view.first + view.count) {
    g.fillStyle = look.bad;
    g.globalAlpha = 0.12;
    g.fillRect(x(wrong), HEAD, CELL, view.rows.length * ROW);
    g.globalAlpha = 1;
  }
  view.rows.forEach((row, i) => {
    const top = HEAD + i * ROW + 10, tall = ROW - 20, { server } = row;
    const leads = server.role === "leader";
    g.textAlign = "left";
    g.font = BOLD;
    g.fillStyle = server.alive ? look.ink : look.soft;
    g.fillText(`server ${server.number}`, 4, top + 4);
    g.font = SMALL;
    const role = !server.known ? "" : !server.alive ? "\u2716 crashed" : server.frozen ? "frozen" : server.role;
    g.fillText(`${role}${server.known ? ` T${server.term}` : ""}`, 66, top + 4);
    g.fillStyle = look.soft;
    if (server.known) g.fillText(`commit ${server.commit}${view.applies ? `  applied ${server.applied}` : ""}${server.voted_for == null ? "" : `  vote ${server.voted_for}`}`, 4, top + 19);
    if (leads) { g.strokeStyle = look.ink; g.lineWidth = 1.5; g.strokeRect(LABEL - 6, top - 2, 2, tall + 4); }
    g.globalAlpha = server.alive ? 1 : 0.45;
    for (const cell of row.cells) {
      const left = x(cell.index);
      if (cell.kind === "snapshot") {
        g.fillStyle = look.panel;
        g.fillRect(left, top, CELL, tall);
        g.fillStyle = look.hatch(g, look.soft, "/");
        g.fillRect(left, top, CELL, tall);
        continue;
      }
      g.fillStyle = cell.kind === "unknown" ? look.panel : look.term(cell.term);
      g.fillRect(left + 1, top, CELL - 2, tall);
      g.fillStyle = look.oncolour;
      g.font = FONT;
      g.textAlign = "center";
      g.fillText(cell.kind === "unknown" ? "?" : String(cell.term), left + CELL / 2, top + tall / 2 + (cell.applied ? -1 : 0));
      g.strokeStyle = cell.committed ? look.ink : look.cut;
      g.lineWidth = cell.fresh ? 3 : 1;
      g.setLineDash(cell.committed ? [] : [3, 3]);
      g.strokeRect(left + 1.5, top + 0.5, CELL - 3, tall - 1);
      g.setLineDash([]);
      if (cell.committed) { g.fillStyle = look.ink; g.fillRect(left + 1, top + tall - 3, CELL - 2, 3); }
      if (cell.applied) { g.fillStyle = look.ink; g.beginPath(); g.arc(left + CELL - 6, top + 5, 2.2, 0, 7); g.fill(); }
    }
    g.globalAlpha = 1;
    if (row.beyond !== undefined) {
      const text = `\u2026 ${row.beyond}`, end = LABEL + view.count * CELL;
      g.font = SMALL;
      const wide = g.measureText(text).width + 6;
      g.fillStyle = look.paper;
      g.fillRect(end - wide, top, wide, tall);
      g.fillStyle = look.ink;
      g.textAlign = "right";
      g.fillText(text, end - 2, top + tall / 2);
    }
    if (row.next !== undefined) pointer(g, look, x(row.next) + CELL / 2, top, true, "next", view, width);
    if (row.match !== undefined && row.match > 0) pointer(g, look, x(row.match) + CELL / 2, top + tall, false, "match", view, width);
  });
  legend(g, view, look, width);
}

/** A little triangle at a cell: `next_index` above, `match_index` below. */
function pointer(g: CanvasRenderingContext2D, look: Theme, x: number, y: number, above: boolean, text: string, view: CellsView, width: number): void {
  if (x < LABEL || x > Math.min(width, LABEL + view.count * CELL)) return;
  const d = above ? -1 : 1;
  g.fillStyle = above ? look.accent : look.good;
  g.beginPath();
  g.moveTo(x, y + d);
  g.lineTo(x - 5, y + 8 * d);
  g.lineTo(x + 5, y + 8 * d);
  g.fill();
  g.font = "10px system-ui, 'DejaVu Sans', sans-serif";
  g.textAlign = "left";
  g.fillText(text, x + 7, y + 5 * d);
}

function legend(g: CanvasRenderingContext2D, view: CellsView, look: Theme, width: number): void {
  const y = HEAD + view.rows.length * ROW + 8;
  g.font = SMALL;
  g.fillStyle = look.soft;
  g.textAlign = "left";
  const leader = view.leader ? `next, match: what leader ${view.leader.number} knows of each follower` : "no leader";
  g.fillText("In a cell: its term. Solid with a bar: committed; a dot: applied; dashed: not committed;", 4, y, width - 8);
  g.fillText(`thick: written by this event; hatched: in a snapshot. ${leader}.`, 4, y + 15, width - 8);
}
