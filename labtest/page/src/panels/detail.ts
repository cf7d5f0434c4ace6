// What happens at the cursor: the event, what it changed, and the call that is selected.
import type { App } from "../app.ts";
import { h } from "../dom.ts";
import { type Message, type Run, linesOf } from "../model.ts";
import { effects } from "../moment.ts";
import { kindOf, party, seconds, sentence, stepSentence } from "../words.ts";
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
  const lone = fails && failure.line.servers?.length === 1 ? failure.line.servers[0] : undefined;
  const heard = lone === undefined ? answered(run, step) : lastTo(run, lone, step);
  const shown = selected ?? about[0] ?? heard;
  const title = selected ? "the selected call (Esc lets go, c follows it)" : !fails ? heard === shown ? "the last answer to it" : "its call"
    : heard === shown ? `the last message that reached ${party(lone!)}` : "the last call that shows it";
  element.replaceChildren(
    h("h2", {}, `Event ${run.numbers[step] ?? 0}, ${seconds(app.t)}`),
    h("ul", {}, ...told),
    ...(changes.length > 0 ? [h("h3", {}, "it changed"), h("ul", {}, ...changes)] : []),
    ...(fails && about.length === 0 ? before(app) : []),
    ...(shown ? [h("h3", { class: "soft" }, title), card(run, shown, true)] : []),
  );
}

/** So many events before a failure are told that no event shows. */
const BEFORE = 8;

/** What happened before the cursor, heartbeats left out. */
function before(app: App): HTMLElement[] {
  const { run, step, visibleSteps } = app, found: number[] = [];
  for (let i = visibleSteps.length - 1; i >= 0 && found.length < BEFORE; i--) {
    const at = visibleSteps[i]!, about = run.about.get(at);
    if (at < step && !about?.every(message => kindOf(run, message) === "heartbeat") && stepSentence(run, at) !== "") found.unshift(at);
  }
  const line = (at: number) => h("li", {}, h("button", { class: "line", click: () => app.moveTo(at) }, `${seconds(run.times[at]!)}  ${stepSentence(run, at)}`));
  return found.length === 0 ? [] : [h("h3", {}, "before it, heartbeats left out"), h("ul", {}, ...found.map(line))];
}

/** The last message that had reached somebody. */
function lastTo(run: Run, who: number | string, step: number, since = -1): Message | undefined {
  for (let at = step; at > since; at--) {
    const message = run.about.get(at)?.find(m => m.to === who && m.fate === "delivered" && m.end!.step === at);
    if (message) return message;
  }
  return undefined;
}

/** Of an operation that ends here, the message with the answer. */
function answered(run: Run, step: number): Message | undefined {
  for (const line of linesOf(run, step)) {
    const op = line.kind === "op-end" ? run.operations.get(line.id) : undefined;
    if (op) return lastTo(run, op.line.client, step, op.from.step);
  }
  return undefined;
}
