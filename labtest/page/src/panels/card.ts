// A message with its fields by the paper's names, its fate, its reply, and what both did to those who got them.
import { h } from "../dom.ts";
import { type Message, type Run } from "../model.ts";
import { consequences } from "../moment.ts";
import { between, duration, fate, fields, party, refused, seconds } from "../words.ts";

/** `full`: with what came of it, and the other half of the call. */
export function card(run: Run, message: Message, full: boolean): HTMLElement {
  const call = run.calls.get(message.line.call);
  const out = h("div", { class: "card" });
  const request = message.reply ? call?.request : message;
  if (!full) { out.append(...half(run, message)); return out; }
  if (request) out.append(...half(run, request));
  for (const other of call?.others ?? []) {
    if (other === message || (call?.others.length ?? 0) < 3) out.append(h("div", { class: "fate" }, `${other.original ? "copy" : "again"}: sent ${seconds(other.sent.t)}, ${fate(other)}`));
  }
  for (const reply of call?.replies ?? []) out.append(...half(run, reply));
  if (request && (call?.replies.length ?? 0) === 0) out.append(h("h3", {}, "no reply was sent"));
  if (request && call?.replies[0]?.end && call.replies[0].fate === "delivered") {
    out.append(h("div", { class: "fate" }, `the call took ${duration(call.replies[0].end.t - request.sent.t)}`));
  }
  return out;
}

function half(run: Run, message: Message): HTMLElement[] {
  const lost = message.fate === "dropped";
  const done = consequences(run, message);
  const name = message.reply ? `reply to ${message.method}` : message.method;
  return [
    h(message.reply ? "h3" : "h2", {}, h("b", {}, `${between(message)}  `), name),
    h("table", {}, ...fields(message).map(([name, value]) => h("tr", {}, h("th", {}, name), h("td", refused(message) && value === "false" ? { class: "no" } : {}, value)))),
    h("div", { class: lost ? "fate lost" : "fate" }, `sent ${seconds(message.sent.t)}, ${fate(message)}`),
    ...(done.length > 0 ? [h("div", {}, `${party(message.to)} then:`, h("ul", {}, ...done.map(text => h("li", {}, text))))] : []),
  ];
}
