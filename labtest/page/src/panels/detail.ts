// What happens at the cursor: the event, what it changed, and the call that is selected.
import type { App } from "../app.ts";
import { h } from "../dom.ts";
import { linesOf } from "../model.ts";
import { effects } from "../moment.ts";
import { seconds, sentence } from "../words.ts";
import { card } from "./card.ts";

export function detail(element: HTMLElement, app: App): void {
  const { run, step, selected } = app;
  const { failure } = run, fails = failure?.moment.step === step;
  const about = (run.about.get(step) ?? []).concat(fails ? failure.evidence.toReversed().flatMap(seen => run.about.get(seen) ?? []) : []);
  const told = linesOf(run, step).flatMap(line => {
    // The head of the page tells it already.
    const text = line.kind === "failure" ? "the failure" : line.kind === "end" && fails ? undefined : sentence(run, step, line);
    return text === undefined ? [] : [h("li", {}, text)];
  });
  const changes = run.servers.flatMap(server => {
    const done = effects(run, step, server.number).filter(text => !text.startsWith("applies") && !text.startsWith("hands"));
    return done.map(text => h("li", {}, `server ${server.number}: ${text}`));
  });
  const shown = selected ?? about[0];
  element.replaceChildren(
    h("h2", {}, `Event ${run.numbers[step] ?? 0}, ${seconds(app.t)}`),
    h("ul", {}, ...told),
    ...(changes.length > 0 ? [h("h3", {}, "it changed"), h("ul", {}, ...changes)] : []),
    ...(shown ? [h("h3", { class: "soft" }, selected ? "the selected call (Esc lets go, c follows it)" : fails ? "the last call that shows it" : "its call"), card(run, shown, true)] : []),
  );
}
