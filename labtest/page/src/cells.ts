// Where things stand in the picture of the servers' logs: a row for each server, a cell for each index.
import type { Numeral } from "./log.ts";
import { type ServerNow, cellAt, leaderAt, progressAt, serverAt } from "./moment.ts";
import type { Run } from "./model.ts";

export const LABEL = 190;
export const CELL = 30;
export const HEAD = 22;
export const ROW = 42;

/** How many entries behind the leader's log are shown. */
const BEHIND = 3;

export interface CellView {
  index: number;
  kind: "entry" | "unknown" | "snapshot";
  term: Numeral;
  command: string | null;
  committed: boolean;
  applied: boolean;
  /** This very step wrote it. */
  fresh: boolean;
}
export interface RowView {
  server: ServerNow;
  cells: CellView[];
  /** Its log goes on beyond the last cell, up to here. */
  beyond: number | undefined;
  /** What the leader knows of this follower. */
  next?: number;
  match?: number;
}
export interface CellsView { first: number; count: number; rows: RowView[]; leader: ServerNow | undefined; applies: boolean }

/**
 * As many indexes as fit. They end a little behind the leader's log, since that is where things happen, or behind the
 * longest without a leader; they have `index` among them, if that is given: what a failure is about. If somebody
 * scrolled, `wanted` is the first.
 */
export function cellsOf(run: Run, step: number, width: number, wanted: number | undefined, index?: number): CellsView {
  const count = Math.max(4, Math.floor((width - LABEL - 8) / CELL));
  const states = run.servers.map(server => serverAt(run, server, step));
  const leader = leaderAt(run, step), longest = Math.max(0, ...states.map(s => s.last));
  const end = Math.min(leader ? leader.last + BEHIND : longest, longest) + 1;
  let from = end - count + 1;
  if (index !== undefined && index < from) from = index - 2;
  if (index !== undefined && index >= from + count) from = index - count + 3;
  const first = Math.max(1, Math.min(wanted ?? from, longest + 1));
  const rows = states.map((server): RowView => {
    const progress = leader && leader.number !== server.number ? progressAt(run, leader, server.number, step) : undefined;
    const cells: CellView[] = [];
    for (let index = first; index < first + count; index++) {
      const cell = cellAt(run.servers[server.number]!, server, index, step);
      if (cell === null || !server.known) continue;
      cells.push({
        index, kind: cell === undefined ? "snapshot" : cell.term === 0 ? "unknown" : "entry",
        term: cell?.term ?? 0, command: cell?.command ?? null,
        committed: index <= Number(server.commit), applied: index <= Number(server.applied ?? 0),
        fresh: cell !== undefined && (run.servers[server.number]!.cells.get(index)?.changedAt(step) ?? false),
      });
    }
    return { server, cells, beyond: server.known && server.last >= first + count ? server.last : undefined, ...(progress && { next: Number(progress.next), match: Number(progress.match) }) };
  });
  return { first, count, rows, leader, applies: run.applies };
}

export interface CellHit { row: RowView; cell: CellView }

export function cellUnder(view: CellsView, x: number, y: number): CellHit | undefined {
  const row = view.rows[Math.floor((y - HEAD) / ROW)];
  const index = view.first + Math.floor((x - LABEL) / CELL);
  const cell = x < LABEL ? undefined : row?.cells.find(cell => cell.index === index);
  return row && cell && { row, cell };
}
