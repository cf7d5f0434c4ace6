// Which messages are shown: by kind, by whether it is a reply, by the two it is between, by its fate.
import type { Message, Run } from "./model.ts";
import { type Kind, KINDS, kindOf } from "./words.ts";

export const FATES = ["delivered", "lost", "delayed", "duplicated"] as const;
export type FateName = (typeof FATES)[number];

export interface Filter {
  kinds: Set<Kind>;
  replies: boolean;
  /** A message is shown if it had any of these fates. */
  fates: Set<FateName>;
  /** Both ends must be among them; those who are no servers count as one, `"clients"`. Empty: everybody. */
  among: Set<number | "clients">;
}

export const everything = (): Filter => ({ kinds: new Set(KINDS), replies: true, fates: new Set(FATES), among: new Set() });

/** What happened to a message. One on its way at the end counts as delivered: nothing was done to it. */
export function fatesOf(message: Message): FateName[] {
  const fates: FateName[] = [];
  if (message.fate === "dropped" && message.why !== "CallOver") fates.push("lost"); else fates.push("delivered");
  if (message.delay > 0 || message.held) fates.push("delayed");
  if (message.copies > 0 || message.original) fates.push("duplicated");
  return fates;
}

/** Whether a message is shown. Something special shows although "delivered" is off; it hides only if all its fates are. */
export function shows(run: Run, filter: Filter, message: Message): boolean {
  if (message.reply && !filter.replies) return false;
  if (!filter.kinds.has(kindOf(run, message))) return false;
  if (!fatesOf(message).some(fate => filter.fates.has(fate))) return false;
  if (filter.among.size === 0) return true;
  const end = (party: number | string) => typeof party === "number" ? party : "clients";
  const both = filter.among.size === 1
    ? filter.among.has(end(message.from)) || filter.among.has(end(message.to))
    : filter.among.has(end(message.from)) && filter.among.has(end(message.to));
  return both;
}

/** The places of the messages that are shown, in the order of their sending. */
export function shown(run: Run, filter: Filter): number[] {
  return run.messages.filter(message => shows(run, filter, message)).map(message => message.place);
}

/** The steps at which the keys stop: all but those that are only about messages not shown, or only log lines. */
export function stops(run: Run, filter: Filter): number[] {
  const out: number[] = [];
  for (let step = 0; step < run.times.length; step++) {
    let other = false;
    for (let i = run.starts[step]!; i < run.starts[step + 1]! && !other; i++) other = OF_ITS_OWN.has(run.log.lines[i]!.kind);
    if (other || run.about.get(step)?.some(message => shows(run, filter, message))) out.push(step);
  }
  return out;
}

const OF_ITS_OWN = new Set([
  "start", "crash", "freeze", "thaw", "links", "accept", "apply", "apply-snapshot", "says", "phase", "op", "op-end", "failure", "end",
]);
