// The table of what leaders know of their followers at the cursor.
import type { App } from "../app.ts";
import { h } from "../dom.ts";
import { type ServerNow, leadersAt, progressAt, serverAt } from "../moment.ts";

export function progress(element: HTMLElement, app: App): void {
  const { run, step } = app;
  const leaders = leadersAt(run, step);
  const names = ["follower", "next_index", "match_index", "its last", "its commit", ""];
  const table = (leader: ServerNow) => h("table", { class: "now" },
    h("tr", {}, ...names.map(name => h("th", {}, name))),
    ...run.servers.filter(s => s.number !== leader.number).map(server => {
      const known = progressAt(run, leader, server.number, step), now = serverAt(run, server, step);
      const behind = known ? leader.last - Number(known.match) : undefined;
      const how = !now.alive ? "crashed" : now.frozen ? "frozen" : now.group !== leader.group || now.group < 0 ? "cut off from it"
        : behind === undefined ? "" : behind <= 0 ? "up to date" : `${behind} unconfirmed`;
      const cells = [`server ${server.number}`, known?.next ?? "?", known?.match ?? "?", now.last, now.commit, how];
      return h("tr", {}, ...cells.map(text => h("td", {}, String(text))));
    }));
  element.replaceChildren(...leaders.flatMap(leader => [
    h("h3", {}, `What leader ${leader.number} knows of its followers, in term ${leader.term}`),
    h("div", { class: "soft" }, `its own log ends at ${leader.last}, commit_index ${leader.commit}`), table(leader),
  ]), leaders.length === 0 ? h("p", { class: "soft" }, "No server leads at this moment.") : "");
}
