// The run in words: times, messages, events as sentences.
import type { Entry, Line, Numeral, Party } from "./log.ts";
import { type Message, type Run, linesOf } from "./model.ts";

/** A time of the run, in seconds: `1.234 567 s`. */
export function seconds(t: number): string {
  const micro = Math.round(t), rest = String(micro % 1_000_000).padStart(6, "0");
  return `${Math.floor(micro / 1_000_000)}.${rest.slice(0, 3)}${rest.slice(3) === "000" ? "" : "\u202f" + rest.slice(3)} s`;
}

/** How long something took, in the unit that suits it. */
export function duration(t: number): string {
  if (t < 1000) return `${Math.round(t)} \u00b5s`;
  if (t < 1_000_000) return `${+(t / 1000).toFixed(t < 10_000 ? 2 : 1)} ms`;
  return `${+(t / 1_000_000).toFixed(2)} s`;
}

export const party = (p: Party): string => typeof p === "number" ? `server ${p}` : p;
/** As it stands on a lane. */
export const short = (p: Party): string => typeof p === "number" ? `S${p}` : p;

/** What kinds of messages are told apart. A heartbeat is an AppendEntries without entries. */
export type Kind = "vote" | "append" | "heartbeat" | "snapshot" | "other";
export const KINDS: readonly Kind[] = ["vote", "append", "heartbeat", "snapshot", "other"];
export const KIND_NAMES: Record<Kind, string> = {
  vote: "RequestVote", append: "AppendEntries with entries", heartbeat: "AppendEntries without entries", snapshot: "InstallSnapshot", other: "other calls",
};

export function kindOf(run: Run, message: Message): Kind {
  // A reply is of the kind of its request; that of an error says nothing itself.
  const request = message.reply ? run.calls.get(message.line.call)?.request ?? message : message;
  switch (request.method) {
    case "RequestVote": return "vote";
    case "InstallSnapshot": return "snapshot";
    case "AppendEntries": return (request.line.count ?? request.line.entries?.length ?? 0) > 0 ? "append" : "heartbeat";
    default: return "other";
  }
}

/** Whether a reply says no. */
export const refused = (message: Message): boolean => message.line.vote_granted === false || message.line.success === false;

/** What a message says, in the paper's names, one field a pair. */
export function fields(message: Message): [name: string, value: string][] {
  const l = message.line, out: [string, string][] = [];
  const put = (name: string, value: unknown) => { if (value !== undefined) out.push([name, String(value)]); };
  put("term", l.term);
  if (!message.reply) {
    if (message.method === "RequestVote") put("candidate_id", message.from);
    if (message.method === "AppendEntries" || message.method === "InstallSnapshot") put("leader_id", message.from);
  }
  put("last_log_index", l.last_log_index);
  put("last_log_term", l.last_log_term);
  put("vote_granted", l.vote_granted);
  put("prev_log_index", l.prev_log_index);
  put("prev_log_term", l.prev_log_term);
  if (l.entries) put("entries", entryList(l.entries, l.count ?? l.entries.length));
  put("leader_commit", l.leader_commit);
  put("success", l.success);
  put("last_included_index", l.last_included_index);
  put("last_included_term", l.last_included_term);
  if (l.data_bytes !== undefined) put("data", `${l.data_bytes} bytes`);
  if (l.more_fields) put("and", "fields of its author's own");
  return out;
}

function entryList(entries: Entry[], count: number): string {
  if (count === 0) return "none: a heartbeat";
  const left = count - entries.length;
  const shown = entries.map(([index, term, command]) => `${index}: ${command ?? "?"} of term ${term}`);
  if (left > 0) shown.unshift(`${left} more`);
  return shown.join("\n");
}

/** A message on one line: `RequestVote term 3, last entry 7 of term 2`. */
export function message(m: Message): string {
  const l = m.line, yes = (b: boolean | undefined, a: string, c: string) => b === undefined ? "" : b ? a : c;
  const term = l.term === undefined ? "" : ` term ${l.term}`;
  switch (l.type) {
    case "RequestVote": return `RequestVote${term}, last entry ${l.last_log_index} of term ${l.last_log_term}`;
    case "RequestVoteReply": return `RequestVote reply${term}: ${yes(l.vote_granted, "vote granted", "vote refused") || "?"}`;
    case "AppendEntries": {
      const count = l.count ?? l.entries?.length ?? 0, after = (n: number) => plus(l.prev_log_index ?? 0, n);
      const what = count === 0 ? "heartbeat" : count === 1 ? `entry ${after(1)}` : `entries ${after(1)} to ${after(count)}`;
      return `AppendEntries${term}, ${what} after ${l.prev_log_index} of term ${l.prev_log_term}, leader_commit ${l.leader_commit}`;
    }
    case "AppendEntriesReply": return `AppendEntries reply${term}: ${yes(l.success, "success", "refused") || "?"}`;
    case "InstallSnapshot": return `InstallSnapshot${term}, up to ${l.last_included_index} of term ${l.last_included_term}`;
    case "InstallSnapshotReply": return `InstallSnapshot reply${term}`;
    default: return m.reply ? `${m.method} reply` : l.type;
  }
}

const plus = (a: Numeral, b: number): Numeral => typeof a === "number" ? a + b : String(BigInt(a) + BigInt(b));

export const between = (m: Message): string => `${short(m.from)} \u2192 ${short(m.to)}`;

const WHY: Record<string, string> = {
  LinkDisabled: "the link was cut when it was sent", NoServer: "the server was down when it was sent",
  LinkCut: "the link was cut while it was on its way", ServerDeleted: "the server crashed meanwhile",
  CallerClosed: "the caller crashed meanwhile", Loss: "the network lost it", Intercepted: "the test's script dropped it",
  CallOver: "the caller no longer waited", Unanswered: "the handler returned an error", Panicked: "the handler panicked",
  NetworkStopped: "the network was gone",
};

/** What a drop is called. */
function lost(why: string | undefined): string {
  return why === "CallOver" ? "ignored" : why === "Unanswered" || why === "Panicked" ? "NO ANSWER" : "LOST";
}

/** What became of a message. */
export function fate(m: Message): string {
  const out: string[] = [];
  if (m.original) out.push("a copy that the network made");
  if (m.delay > 0) out.push(`delayed by ${duration(m.delay)}`);
  if (m.held) out.push(m.released ? `held back until ${seconds(m.released.t)}` : "held back");
  if (m.fate === "delivered") out.push(`delivered after ${duration(m.end!.t - m.sent.t)}`);
  else if (m.fate === "dropped") out.push(`${lost(m.why)}: ${Object.hasOwn(WHY, m.why ?? "") ? WHY[m.why!] : m.why}`);
  else out.push("still on its way at the end");
  if (m.copies > 0) out.push(`duplicated (${m.copies} more)`);
  return out.join(", ");
}

/** An event on one line, without what it brought about; `undefined` for lines that only tell consequences. */
export function sentence(run: Run, step: number, line: Line): string | undefined {
  const about = (id: number) => run.about.get(step)?.find(m => m.line.id === id);
  switch (line.kind) {
    case "start": return `server ${line.server} starts${line.life > 0 ? ` again, with ${line.state_bytes} bytes of state` : ""}`;
    case "crash": return `server ${line.server} crashes${line.how ? ` (${line.how})` : ""}`;
    case "freeze": return `server ${line.server} stands still`;
    case "thaw": return `server ${line.server} goes on`;
    case "links": {
      if (line.groups[0]?.length === run.servers.length) return "all servers reach each other";
      const groups = line.groups.filter(g => g.length > 1).map(g => `{${g.join(", ")}}`);
      const alone = run.servers.map(s => s.number).filter(s => !line.groups.some(g => g.length > 1 && g.includes(s)));
      return [groups.length ? `connected: ${groups.join(" ")}` : "", alone.length ? `cut off: ${alone.join(", ")}` : ""].filter(Boolean).join("; ");
    }
    case "send": { const m = about(line.id); return m && `sent ${between(m)}  ${message(m)}`; }
    case "deliver": { const m = about(line.id); return m && `arrived ${between(m)}  ${message(m)}`; }
    case "drop": { const m = about(line.id); return m && `${lost(line.why)} ${between(m)}  ${message(m)} (${line.why})`; }
    case "duplicate": { const m = about(line.id); return m && `duplicated ${between(m)}  ${message(m)}`; }
    case "release": { const m = about(line.id); return m && `released ${between(m)}  ${message(m)}`; }
    case "apply": return `server ${line.server} applies ${line.command} at index ${line.index}`;
    case "apply-snapshot": return `server ${line.server} hands its service a snapshot up to ${line.index} of term ${line.term}`;
    case "accept": return `server ${line.server} accepts ${line.command} at index ${line.index} in term ${line.term}`;
    case "says": return `server ${line.server} says that it ${line.is_leader ? "leads" : "does not lead"} term ${line.term}`;
    case "phase": return `the test: ${line.title}`;
    case "op": return `${line.client}: ${line.op}(${line.key}${line.value === undefined ? "" : `, ${line.value}`}) begins`;
    case "op-end": {
      const op = run.operations.get(line.id);
      return op && `${op.line.client}: ${op.line.op}(${op.line.key}) ends${line.value == null ? "" : ` with ${line.value}`}`;
    }
    case "failure": return `FAILURE: ${line.text.split("\n", 1)[0]}`;
    case "end": return line.ok ? "the test has passed" : "the run ends";
    default: return undefined;
  }
}

/** A step on one line. */
export function stepSentence(run: Run, step: number): string {
  for (const line of linesOf(run, step)) {
    const told = sentence(run, step, line);
    if (told !== undefined) return told;
  }
  const log = linesOf(run, step).find(line => line.kind === "line");
  return log?.kind === "line" ? `${log.server === undefined ? log.thread : `server ${log.server}`} logs: ${log.text}` : "";
}
