// The lines of an event log, as docs/event-log.md describes them, and how they are read.
//
// Nothing is believed: a line that is no JSON object, or lacks what its kind must have, is counted and skipped. Kinds
// and fields of a later version are ignored, as that document asks.

/** A server's number, or the name of somebody else. */
export type Party = number | string;
/** As its digits where JavaScript would lose some of them. */
export type Numeral = number | string;
/** Index, term, command as text; `null` of an entry of which only the term is known. */
export type Entry = [index: Numeral, term: Numeral, command: string | null];
export type Role = "follower" | "candidate" | "leader" | "dead";

export interface Head {
  test: string; seed: string; build: string; time: string; servers: number; replay: string; left_out: number;
}

interface Common { t: number; n: number }
export type Line = Common & (
  | { kind: "start"; server: number; life: number; state_bytes: number; snapshot_bytes: number }
  | { kind: "crash"; server: number; life: number; how: string }
  | { kind: "freeze" | "thaw"; server: number }
  | { kind: "links"; groups: number[][] }
  | SendLine
  | { kind: "deliver" | "hold" | "release"; id: number }
  | { kind: "drop"; id: number; why: string }
  | { kind: "duplicate"; id: number; of: number }
  | { kind: "delay"; id: number; by: number }
  | StateLine
  | { kind: "log"; server: number; from: Numeral; entries: Entry[] }
  | { kind: "compact"; server: number; index: Numeral; term: Numeral }
  | { kind: "progress"; server: number; follower: number; next: Numeral; match: Numeral }
  | { kind: "apply"; server: number; index: Numeral; command: string }
  | { kind: "apply-snapshot"; server: number; index: Numeral; term: Numeral }
  | { kind: "accept"; server: number; index: Numeral; term: Numeral; command: string }
  | { kind: "says"; server: number; term: Numeral; is_leader: boolean }
  | { kind: "phase"; title: string }
  | { kind: "op"; id: number; client: string; op: string; key: string; value?: string }
  | { kind: "op-end"; id: number; value: string | null }
  | LogLine
  | FailureLine
  | EndLine
);
export interface SendLine extends Common {
  kind: "send"; id: number; call: number; from: Party; to: Party; type: string; bytes: number; more_fields?: boolean;
  term?: Numeral; last_log_index?: Numeral; last_log_term?: Numeral; vote_granted?: boolean;
  prev_log_index?: Numeral; prev_log_term?: Numeral; leader_commit?: Numeral; count?: number; entries?: Entry[];
  success?: boolean; last_included_index?: Numeral; last_included_term?: Numeral; data_bytes?: number;
}
export interface StateLine extends Common {
  kind: "state"; server: number; role?: Role; term?: Numeral; voted_for?: number | null; leader?: number | null;
  commit?: Numeral; applied?: Numeral | null; first?: Numeral; last?: Numeral;
}
export interface LogLine extends Common {
  kind: "line"; server?: number; thread: string; level: string; target: string; text: string;
}
export interface FailureLine extends Common {
  kind: "failure"; text: string; place?: string; thread?: string; stuck?: string[]; rule?: string; says?: string; paper?: string; servers?: number[]; index?: Numeral;
  term?: Numeral; evidence?: number[]; core?: number[];
}
export interface EndLine extends Common {
  kind: "end"; ok: boolean; events: number; lines: number; left_out: { events: number; lines: number };
}
export type LineOf<K extends Line["kind"]> = Extract<Line, { kind: K }>;

export interface Log {
  head: Head;
  lines: Line[];
  /** What a reader must know of the file itself: that it is not whole, that some lines could not be read. */
  notes: string[];
}

type Check = (value: unknown) => boolean;
const number: Check = v => typeof v === "number" && Number.isFinite(v);
const numeral: Check = v => number(v) || typeof v === "string" && /^\d+$/.test(v);
const text: Check = v => typeof v === "string";
const truth: Check = v => typeof v === "boolean";
const list: Check = Array.isArray;
const numbers: Check = v => Array.isArray(v) && v.every(number);
const party: Check = v => number(v) || text(v);
const entries: Check = v => Array.isArray(v) && v.every(e => Array.isArray(e) && numeral(e[0]) && numeral(e[1]));
const groups: Check = v => Array.isArray(v) && v.every(numbers);

/** What a line of each kind must have; other fields are optional. */
const MUST: Record<Line["kind"], Record<string, Check>> = {
  start: { server: number, life: number },
  crash: { server: number },
  freeze: { server: number },
  thaw: { server: number },
  links: { groups },
  send: { id: number, call: number, from: party, to: party, type: text },
  deliver: { id: number },
  drop: { id: number, why: text },
  duplicate: { id: number, of: number },
  delay: { id: number, by: number },
  hold: { id: number },
  release: { id: number },
  state: { server: number },
  log: { server: number, from: numeral, entries },
  compact: { server: number, index: numeral, term: numeral },
  progress: { server: number, follower: number, next: numeral, match: numeral },
  apply: { server: number, index: numeral, command: text },
  "apply-snapshot": { server: number, index: numeral, term: numeral },
  accept: { server: number, index: numeral, term: numeral, command: text },
  says: { server: number, term: numeral, is_leader: truth },
  phase: { title: text },
  op: { id: number, client: text, op: text, key: text },
  "op-end": { id: number },
  line: { thread: text, level: text, target: text, text },
  failure: { text },
  end: { ok: truth },
};
/** Of fields that are optional, what they are when they are there. */
const MAY: Record<string, Check> = {
  entries, place: text, thread: text, stuck: v => Array.isArray(v) && v.every(text), evidence: numbers, core: numbers, servers: v => number(v) || list(v), count: number, term: numeral, index: numeral,
  first: numeral, last: numeral, commit: numeral, applied: v => v === null || numeral(v),
};

function readable(line: unknown): line is Line {
  if (typeof line !== "object" || line === null) return false;
  const fields = line as Record<string, unknown>;
  const kind = fields["kind"] as Line["kind"];
  const must = Object.hasOwn(MUST, kind) ? MUST[kind] : undefined;
  if (!must || !number(fields["t"]) || !number(fields["n"])) return false;
  for (const name in must) if (!must[name]!(fields[name])) return false;
  for (const name in MAY) if (fields[name] !== undefined && !MAY[name]!(fields[name])) return false;
  return true;
}

/** Reads a whole file. Throws if it is none of this schema. */
export function parse(file: string): Log {
  let at = file.indexOf("\n");
  if (at < 0) at = file.length;
  const head = parsed(file.slice(0, at)) as Record<string, unknown> | undefined;
  if (head?.["schema"] !== "raft-labs-event-log") throw new Error("this is no event log of the Raft labs");
  const notes: string[] = [];
  if (head["version"] !== 1) notes.push(`The log is of version ${String(head["version"])}; this page was made for version 1.`);
  const lines: Line[] = [];
  const someAreLarge = LARGE.test(file);
  let unreadable = 0, rounded = false;
  while (at < file.length) {
    const end = file.indexOf("\n", at + 1);
    const json = file.slice(at + 1, end < 0 ? file.length : end);
    at = end < 0 ? file.length : end;
    if (json === "") continue;
    const line = parsed(someAreLarge ? exact(json) : json);
    if (readable(line)) {
      lines.push(line);
      rounded ||= isRounded(line);
    } else if (!laterKind(line)) unreadable++;
  }
  if (unreadable > 0) notes.push(`${unreadable} lines of the log could not be read and are not shown.`);
  if (rounded) notes.push("A server's log has indexes above 9,007,199,254,740,991. Where it begins and ends is shown rounded; all other numbers have their digits.");
  if (lines.at(-1)?.kind !== "end") notes.push("The log has no last line: it is not whole.");
  const string = (name: string) => typeof head[name] === "string" ? head[name] : "";
  const count = (name: string) => typeof head[name] === "number" ? head[name] : 0;
  // As it is written: a number of JavaScript has too few digits for every seed.
  const seed = /"seed":(\d+)/.exec(file.slice(0, 65536))?.[1] ?? "?";
  return {
    head: {
      test: string("test"), seed, build: string("build"),
      time: string("time"), servers: count("servers"), replay: string("replay"), left_out: count("left_out"),
    },
    lines, notes,
  };
}

/** A number of which JavaScript may lose digits: terms may be as large as a server likes, and an index below 0 is as large as it can be. */
const LARGE = /[:[,]\d{16,}[,}\]]/;
/** Such a number, or a text, in which digits are none. */
const TEXT_OR_LARGE = /"(?:[^"\\]|\\.)*"|\d{16,}/g;

/** Turns such numbers into texts, which keep their digits. */
function exact(json: string): string {
  return json.replace(TEXT_OR_LARGE, part => part.startsWith('"') || Number.isSafeInteger(Number(part)) ? part : `"${part}"`);
}

/** Whether it has numbers that are reckoned with, and therefore lose digits. */
function isRounded(line: Line): boolean {
  return line.kind === "log" ? typeof line.from === "string" : line.kind === "state" && (typeof line.first === "string" || typeof line.last === "string");
}

function parsed(json: string): unknown {
  try {
    // Only the few lines that have such characters are read the slow way.
    return INVISIBLE_IN_JSON.test(json) ? JSON.parse(json, (_, value: unknown) => typeof value === "string" ? visible(value) : value) : JSON.parse(json);
  } catch { return undefined; }
}

// Control characters, and those that turn the direction of all text behind them.
const INVISIBLE = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const INVISIBLE_IN_JSON = /[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|\\u(00[01]|007f|00[89]|061c|20[0126]|feff)/i;

/** Shows what cannot be seen by its number. */
function visible(text: string): string {
  return text.replace(INVISIBLE, c => `\\u{${c.charCodeAt(0).toString(16)}}`);
}

function laterKind(line: unknown): boolean {
  if (typeof line !== "object" || line === null) return false;
  const kind = (line as Record<string, unknown>)["kind"];
  return typeof kind === "string" && !Object.hasOwn(MUST, kind);
}
