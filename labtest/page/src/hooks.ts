// For tests and for the curious: what the page shows, to be read as `window.timeline`.
import type { App } from "./app.ts";
import type { CellsView } from "./cells.ts";
import { type ServerNow, serverAt } from "./moment.ts";
import type { Drawn } from "./paint/timeline.ts";
import type { List } from "./panels/list.ts";
import { type Kind, kindOf } from "./words.ts";

export interface Timeline {
  readonly steps: number;
  readonly messages: number;
  /** How many messages the filters show. */
  readonly shown: number;
  readonly cursor: { readonly step: number; readonly n: number; readonly t: number };
  readonly view: { readonly from: number; readonly to: number };
  readonly servers: readonly ServerNow[];
  readonly drawn: {
    readonly lanes: number; readonly cells: number; readonly pointers: number;
    /** The message of each arrow, and where its middle is on the canvas. */
    readonly arrows: readonly { id: number; type: string; kind: Kind; fate: string; x: number; y: number }[];
    /** Whether every message in view has an arrow. */
    readonly singly: boolean;
  };
  readonly rows: { readonly total: number; readonly visible: readonly string[] };
  readonly selected: number | undefined;
}

export function hooks(app: App, painted: () => { drawn: Drawn | undefined; cells: CellsView | undefined; rows: List }): void {
  const timeline: Timeline = {
    get steps() { return app.run.times.length; },
    get messages() { return app.run.messages.length; },
    get shown() { return app.shownMessages; },
    get cursor() { return { step: app.step, n: app.run.numbers[app.step] ?? -1, t: app.t }; },
    get view() { return { ...app.view }; },
    get servers() { return app.run.servers.map(server => serverAt(app.run, server, app.step)); },
    get drawn() {
      const { drawn, cells } = painted();
      return {
        lanes: drawn?.lanes.lanes.length ?? 0, cells: cells?.rows.reduce((sum, row) => sum + row.cells.length, 0) ?? 0,
        pointers: cells?.rows.filter(row => row.next !== undefined).length ?? 0,
        arrows: (drawn?.arrows ?? []).map(a => ({ id: a.message.line.id, type: a.message.line.type, kind: kindOf(app.run, a.message), fate: a.message.fate, x: (a.x1 + a.x2) / 2, y: (a.y1 + a.y2) / 2 })),
        singly: drawn?.singly ?? true,
      };
    },
    get rows() { const { rows } = painted(); return { total: rows.total, visible: rows.visible }; },
    get selected() { return app.selected?.line.id; },
  };
  Object.defineProperty(window, "timeline", { value: Object.freeze(timeline) });
}
