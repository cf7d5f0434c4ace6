// The position in a link: `#n=420&from=900000&to=912345&m=13`. A link that says nothing sensible says nothing.
import type { Filter } from "./filter.ts";
import { FATES, everything } from "./filter.ts";
import { KINDS } from "./words.ts";

/** The levels of log lines, as they are written in lower case. */
export const LEVELS = ["error", "warn", "info", "debug", "trace"];

/** Which log lines are listed. */
export interface LinesWanted {
  /** The least of their levels, by its place in `LEVELS`. */
  level: number;
  /** Whose; everybody's if not given. */
  server: number | undefined;
  /** What they contain. */
  text: string;
}
export const allLines = (): LinesWanted => ({ level: LEVELS.length - 1, server: undefined, text: "" });

export interface Position {
  /** The number of the event at the cursor. */
  n?: number;
  /** The times at both ends of what is in view. */
  from?: number;
  to?: number;
  /** Quiet times are as long as others. */
  even?: boolean;
  /** The id of the message that is selected. */
  m?: number;
  filter?: Filter;
  lines?: LinesWanted;
}

export function write(position: Position): string {
  const out = new URLSearchParams();
  for (const name of ["n", "from", "to", "m"] as const) {
    const value = position[name];
    if (value !== undefined) out.set(name, String(Math.round(value)));
  }
  if (position.even) out.set("time", "even");
  const filter = position.filter;
  if (filter) {
    if (filter.kinds.size < KINDS.length) out.set("kinds", [...filter.kinds].join(" "));
    if (filter.fates.size < FATES.length) out.set("fates", [...filter.fates].join(" "));
    if (filter.among.size > 0) out.set("among", [...filter.among].join(" "));
    if (!filter.replies) out.set("replies", "no");
  }
  const { lines } = position;
  if (lines) {
    if (lines.level < LEVELS.length - 1) out.set("level", LEVELS[lines.level]!);
    if (lines.server !== undefined) out.set("of", String(lines.server));
    if (lines.text !== "") out.set("find", lines.text);
  }
  return "#" + out.toString();
}

export function read(hash: string): Position {
  const given = new URLSearchParams(hash.replace(/^#/, "")), position: Position = { even: given.get("time") === "even" };
  for (const name of ["n", "from", "to", "m"] as const) {
    const text = given.get(name);
    if (text !== null && /^-?\d{1,15}$/.test(text)) position[name] = Number(text);
  }
  const filter = everything();
  const words = (name: string) => given.get(name)?.split(" ");
  const kinds = words("kinds"), fates = words("fates"), among = words("among");
  if (kinds) filter.kinds = new Set(KINDS.filter(kind => kinds.includes(kind)));
  if (fates) filter.fates = new Set(FATES.filter(fate => fates.includes(fate)));
  if (among) filter.among = new Set(among.filter(who => /^(\d{1,3}|clients)$/.test(who)).map(who => who === "clients" ? who : Number(who)));
  if (given.get("replies") === "no") filter.replies = false;
  if (kinds || fates || among || given.has("replies")) position.filter = filter;
  const level = LEVELS.indexOf(given.get("level") ?? ""), of = given.get("of"), find = given.get("find");
  if (level >= 0 || of !== null || find !== null) {
    position.lines = allLines();
    if (level >= 0) position.lines.level = level;
    if (of !== null && /^\d{1,3}$/.test(of)) position.lines.server = Number(of);
    if (find !== null) position.lines.text = find;
  }
  return position;
}
