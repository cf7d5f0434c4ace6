// The head of the page: which run this is, how it ended, the rule that was broken, the events that show it.
import type { App } from "../app.ts";
import { h } from "../dom.ts";
import { seconds, stepSentence } from "../words.ts";

export function head(element: HTMLElement, app: App): void {
  const { run } = app, { head, notes } = run.log, { failure } = run;
  const passed = run.end?.ok === true;
  element.className = failure ? "failed" : passed ? "passed" : "";
  const lines = failure?.line.text.trim().split("\n") ?? [];
  const title = failure ? `Failed: ${lines[0] ?? ""}` : passed ? "Passed" : "How this run ended is not known";
  const rule = failure?.line.rule, { place, thread, stuck = [] } = failure?.line ?? {};
  const where = [place && `at ${place}`, thread && `in thread ${thread}`].filter(Boolean).join(", ");
  const left = run.end?.left_out;
  const missing = [
    (left?.events ?? head.left_out) > 0 && `The first ${(left?.events ?? head.left_out).toLocaleString("en")} events were left out to keep the file small; what they led to is there.`,
    (left?.lines ?? 0) > 0 && `${left!.lines.toLocaleString("en")} log lines were left out.`, ...notes,
  ].filter(note => note !== false);
  element.replaceChildren();
  element.append(...[
    h("div", { class: "run" }, `${head.test}, seed ${head.seed}${head.time === "real" ? ", in real time" : ""}, ${run.servers.length} servers, ${seconds(run.duration)}${failure ? `, failed at ${seconds(failure.moment.t)}` : ""}`),
    h("h1", {}, title),
    rule !== undefined && h("p", {}, h("b", {}, `Rule ${rule}: `), `${failure?.line.says ?? ""} `,
      h("span", { class: "soft" }, `(${failure?.line.paper ?? ""}; docs/rules/${rule}.md tells the usual causes)`)),
    where !== "" && h("p", { class: "soft" }, where),
    failure && failure.evidence.length > 0 && h("div", { id: "evidence" }, "Seen in:", ...failure.evidence.map((step, i) =>
      h("button", { class: "chip", click: () => app.moveTo(step) }, h("b", {}, `${i + 1} `), `${seconds(run.times[step]!)}  ${stepSentence(run, step)}`))),
    lines.length > 1 && h("details", { open: rule === undefined }, h("summary", {}, "all that was said about it"), h("pre", {}, lines.slice(1).join("\n"))),
    stuck.length > 0 && h("details", { open: true }, h("summary", {}, "threads that hang"), h("pre", {}, stuck.join("\n"))),
    ...missing.map(note => h("p", { class: "soft" }, note)),
    head.replay !== "" && h("p", { class: "soft" }, "Again: ", h("code", {}, head.replay)),
  ].filter(part => part instanceof HTMLElement));
}
