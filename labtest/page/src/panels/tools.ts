// The row of buttons: moving, zooming, and what is shown.
import type { App } from "../app.ts";
import { h } from "../dom.ts";
import { FATES } from "../filter.ts";
import { KINDS, KIND_NAMES, seconds } from "../words.ts";

const BRIEF = { vote: "RequestVote", append: "AppendEntries", heartbeat: "heartbeats", snapshot: "InstallSnapshot", other: "other" } as const;

/** Makes the buttons; the function returned brings them up to date. */
export function tools(element: HTMLElement, app: App, help: () => void, refiltered: () => void): () => void {
  const { run } = app;
  const button = (text: string, title: string, click: () => void) => h("button", { title, "aria-label": title, click }, text);
  const now = h("span", { id: "now" });
  const updates = [update(() => seconds(app.t), text => { now.textContent = text; })];
  const toggle = (text: string, title: string, is: () => boolean, set: (yes: boolean) => void, swatch?: string) => {
    const made = h("button", { title, click: () => { set(!is()); refiltered(); } });
    if (swatch) { const s = h("i", { class: "swatch" }); s.style.background = `var(--${swatch})`; made.append(s, " "); }
    made.append(text);
    updates.push(update(is, yes => { made.classList.toggle("on", yes); made.setAttribute("aria-pressed", String(yes)); }));
    return made;
  };
  const member = <T>(set: (f: App["filter"]) => Set<T>, item: T) => [
    () => set(app.filter).has(item),
    (yes: boolean) => app.setFilter(f => { if (yes) set(f).add(item); else set(f).delete(item); }),
  ] as const;
  const groups: (HTMLElement | false)[] = [
    h("span", {},
      run.failure ? button("\u2716 failure", "to the failure (f)", () => app.toFailure()) : "",
      button("\u25c2", "one event back (left arrow)", () => app.stepBy(-1)), now, button("\u25b8", "one event on (right arrow)", () => app.stepBy(1)),
      button("+", "zoom in (+)", () => app.zoom(0.5)), button("\u2212", "zoom out (-)", () => app.zoom(2)), button("whole run", "all of the run (0)", () => app.whole()),
      toggle("short quiet", "draw quiet times shorter than they are (g)", () => app.axis.shortened, yes => app.shorten(yes))),
    h("span", { id: "kinds" }, ...KINDS.filter(kind => kind !== "other" || run.messages.some(m => typeof m.from === "string" || typeof m.to === "string" || !m.method.match(/^(RequestVote|AppendEntries|InstallSnapshot)$/)))
      .map(kind => toggle(BRIEF[kind], `show ${KIND_NAMES[kind]}`, ...member(f => f.kinds, kind), kind)),
      toggle("replies", "show replies, which are dashed", () => app.filter.replies, yes => app.setFilter(f => { f.replies = yes; }))),
    h("span", { id: "fates" }, ...FATES.map(fate => toggle(fate, `show messages that were ${fate}`, ...member(f => f.fates, fate)))),
    h("span", { id: "among" }, "between", ...run.servers.map(s => toggle(`S${s.number}`, `only messages of server ${s.number}; with two or more chosen, only those between them`, ...member(f => f.among, s.number))),
      run.clients.length > 0 && toggle("clients", "only messages of clients, with the servers chosen", ...member<number | "clients">(f => f.among, "clients"))),
    run.clients.length > 0 && h("span", {}, toggle("client lanes", "show a lane for each client", () => app.allClients, yes => app.showClients(yes))),
    h("span", {}, button("? keys", "what the keys do (?)", help)),
  ];
  element.replaceChildren(...groups.filter(group => group !== false));
  return () => { for (const update of updates) update(); };
}

/** Shows a value when it is another than before: what is written is laid out anew. */
function update<T>(value: () => T, show: (value: T) => void): () => void {
  let shown: T | undefined;
  return () => {
    const now = value();
    if (now !== shown) show(shown = now);
  };
}
