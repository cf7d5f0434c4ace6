// What hovering tells of a server, of an operation, and of an entry.
import type { CellHit } from "../cells.ts";
import { h } from "../dom.ts";
import type { Operation } from "../model.ts";
import type { ServerNow } from "../moment.ts";
import { seconds } from "../words.ts";

export function serverCard(server: ServerNow, t: number): HTMLElement {
  const rows: [string, unknown][] = [["current_term", server.term], ["voted_for", server.voted_for ?? "not known"], ["leader", server.leader ?? "not known"],
    ["log", server.last < server.first ? `empty${server.first > 1 ? `, snapshot up to ${server.first - 1}` : ""}` : `${server.first} to ${server.last}`],
    ["commit_index", server.commit], ["last_applied", server.applied ?? "not seen from outside"]];
  const role = !server.known ? "not started" : !server.alive ? "crashed" : server.frozen ? `${server.role}, frozen` : server.role;
  return h("div", { class: "card" }, h("h2", {}, `server ${server.number} at ${seconds(t)}: ${role}`),
    h("table", {}, ...rows.map(([name, value]) => h("tr", {}, h("th", {}, name), h("td", {}, String(value))))),
    h("div", { class: "fate" }, "as far as can be known from outside"));
}

export function operationCard({ line, from, to, value }: Operation): HTMLElement {
  const rows: [string, string][] = [["key", line.key], ...(line.value === undefined ? [] : [["value", line.value] as [string, string]]), ...(value == null ? [] : [["returned", value] as [string, string]])];
  return h("div", { class: "card" }, h("h2", {}, `${line.client}: ${line.op}`),
    h("table", {}, ...rows.map(([name, text]) => h("tr", {}, h("th", {}, name), h("td", {}, text)))),
    h("div", { class: "fate" }, to ? `from ${seconds(from.t)} to ${seconds(to.t)}` : `from ${seconds(from.t)}; had not returned at the end`));
}

export function cellCard({ row, cell }: CellHit): HTMLElement {
  const state = cell.kind === "snapshot" ? "in its snapshot" : `${cell.committed ? "known to be committed" : "not known to be committed"}${cell.applied ? ", applied" : ""}`;
  return h("div", { class: "card" }, h("h2", {}, `server ${row.server.number}, index ${cell.index}`),
    h("div", {}, cell.kind === "entry" ? `term ${cell.term}: ${cell.command ?? "command not known"}` : cell.kind === "unknown" ? "an entry, not known which" : ""), h("div", { class: "fate" }, state));
}
