// The keys, as panels/help.ts lists them.
import type { App } from "./app.ts";
import type { List } from "./panels/list.ts";

export function keyboard(app: App, help: () => void, list: List): void {
  const keys: Record<string, (shift: boolean) => void> = {
    ArrowLeft: shift => app.stepBy(shift ? -10 : -1),
    ArrowRight: shift => app.stepBy(shift ? 10 : 1),
    Home: () => app.moveTo(0),
    End: () => app.moveTo(app.run.times.length - 1),
    f: () => app.toFailure(),
    e: () => app.toEvidence(1),
    E: () => app.toEvidence(-1),
    l: () => app.toChange(1),
    L: () => app.toChange(-1),
    c: () => app.followCall(),
    Escape: () => app.select(undefined),
    "+": () => app.zoom(0.6),
    "=": () => app.zoom(0.6),
    "-": () => app.zoom(1 / 0.6),
    "0": () => app.whole(),
    g: () => app.shorten(!app.axis.shortened),
    "[": () => app.pan(-0.25),
    "]": () => app.pan(0.25),
    "/": () => list.search.focus(),
    "?": help,
  };
  addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const target = e.target as HTMLElement;
    if (/^(INPUT|SELECT)$/.test(target.tagName)) {
      if (e.key === "Escape") target.blur();
      return;
    }
    if (document.querySelector("dialog[open]") && e.key !== "?") return;
    const server = /^[1-9]$/.test(e.key) ? Number(e.key) - 1 : -1;
    if (server >= 0 && server < app.run.servers.length) {
      app.setFilter(f => { if (!f.among.delete(server)) f.among.add(server); });
      list.refill();
    } else if (Object.hasOwn(keys, e.key)) keys[e.key]!(e.shiftKey);
    else return;
    e.preventDefault();
  });
}
