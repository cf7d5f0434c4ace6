// What the keys and the pointer do, and what the pictures mean.
import { h } from "../dom.ts";

export const KEYS: [keys: string, meaning: string][] = [
  ["\u2190 \u2192", "one event back or on, of those that the filters show; with Shift ten"],
  ["Home End", "the first and the last event"],
  ["f", "the failure"],
  ["e E", "the next and the one before of the events that show the failure, in turn"],
  ["l L", "the next and the last change of a role or a term"],
  ["c", "follow the selected call: request sent, delivered, reply sent, delivered"],
  ["Esc", "select nothing"],
  ["+ \u2212", "zoom in and out at the cursor; 0 shows the whole run"],
  ["g", "quiet times shorter than they are, or even time"],
  ["[ ]", "move the view to the left and to the right"],
  ["/", "search the lines"],
  ["1 to 9", "only messages of server 0 to 8, or no longer"],
  ["?", "this"],
];

const PICTURES: [what: string, meaning: string][] = [
  ["lane", "a server: full height and framed while it leads, hatched while a candidate, a thin band as follower; one colour per term, with its number"],
  ["crashed, frozen, cut off", "hatched one way, dotted, hatched the other way above and below the lane; of a split network, the parts have letters"],
  ["arrow", "a message, from its sending to its delivery. V RequestVote, A AppendEntries with entries, S InstallSnapshot; without a letter (h while pointed at or selected) a heartbeat"],
  ["dashed, open head", "a reply; one that says no"],
  ["ends in a cross", "lost; hover to see why"],
  ["dotted, long dashes", "delayed or held back; a copy that the network made"],
  ["ends in a ring", "it came when the caller no longer waited"],
  ["ticks under a lane", "log lines, red for warnings and errors; \u270e notes made with log::info!(target: \"note\", ...)"],
  ["hatched axis", "a quiet time, drawn shorter than it is; how long it was stands above"],
  ["red line", "the failure; numbers in red circles are the events that show it, as in the head of the page"],
  ["lanes of clients", "an operation each: puts and appends in one colour, gets in another, hatched if it never returned; framed in red, those that contradict each other"],
  ["cells", "the logs at the cursor, as far as can be known from outside: what servers said and sent"],
];

export function help(dialog: HTMLDialogElement): () => void {
  const table = (rows: [string, string][], keys: boolean) => h("table", {}, ...rows.map(([a, b]) => h("tr", {}, h("th", {}, ...(keys ? a.split(" ").flatMap((k, i) => i > 0 ? [" ", k === "to" ? k : h("kbd", {}, k)] : [h("kbd", {}, k)]) : [a])), h("td", {}, b))));
  dialog.replaceChildren(
    h("p", {}, h("button", { click: () => dialog.close() }, "close")),
    h("h2", {}, "Keys"), table(KEYS, true),
    h("h2", {}, "Pointer"), h("p", {}, "Click sets the cursor, or selects a message; drag moves; the wheel zooms, with Shift it moves. The strip below the lanes is the whole run. The address of the page always names what is in view: copy it to show somebody else this moment of the same file."),
    h("h2", {}, "Pictures"), table(PICTURES, false),
  );
  return () => { if (dialog.open) dialog.close(); else dialog.showModal(); };
}
