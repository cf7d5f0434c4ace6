// How things stand at one moment of a run, and what a step changed.
import type { Line, Numeral } from "./log.ts";
import { type Cell, type Message, type Operation, type Progress, type Run, type Server, type State, linesOf } from "./model.ts";

export interface ServerNow extends State {
  number: number;
  alive: boolean;
  frozen: boolean;
  /** Which group of servers it is in, from 0; -1 if it is cut off from all. */
  group: number;
  /** Whether something is known of it. */
  known: boolean;
  /** Whether the step itself changed it. */
  changed: boolean;
}

export function serverAt(run: Run, server: Server, step: number): ServerNow {
  const state = server.state.at(step);
  const alive = server.alive.at(step) ?? false;
  return {
    ...(state ?? { role: "dead", term: 0, voted_for: undefined, leader: undefined, commit: 0, applied: null, first: 1, last: 0 }),
    ...(alive ? {} : { role: "dead" as const }),
    number: server.number, alive, frozen: server.frozen.at(step) ?? false, group: groupOf(run, server.number, step),
    known: state !== undefined, changed: server.state.changedAt(step),
  };
}

export function groupOf(run: Run, server: number, step: number): number {
  const groups = run.links.at(step);
  return groups ? groups.findIndex(group => group.includes(server) && group.length > 1) : 0;
}

/** Whether all servers reach each other. */
export function whole(run: Run, groups: number[][] | undefined): boolean {
  return !groups || (groups.length > 0 && groups[0]!.length === run.servers.length);
}

/** An entry of a server's log; `null` where it has none, `undefined` where a snapshot stands. */
export function cellAt(server: Server, state: State, index: number, step: number): Cell | null | undefined {
  if (index < state.first) return undefined;
  if (index > state.last) return null;
  return server.cells.get(index)?.at(step) ?? { term: 0, command: null };
}

/** The server that leads the highest term, among the living. */
export function leaderAt(run: Run, step: number): ServerNow | undefined {
  return leadersAt(run, step)[0];
}

/** All that take themselves for leaders, the highest term first. */
export function leadersAt(run: Run, step: number): ServerNow[] {
  return run.servers.map(server => serverAt(run, server, step))
    .filter(state => state.role === "leader").sort((a, b) => Number(b.term) - Number(a.term));
}

/** What a leader knows of a follower; of an earlier reign it is forgotten. */
export function progressAt(run: Run, leader: ServerNow, follower: number, step: number): Progress | undefined {
  const progress = run.servers[leader.number]?.progress.get(follower)?.at(step);
  return progress?.term === leader.term ? progress : undefined;
}

/** The operations of these clients that were under way within a time. */
export function inView(run: Run, clients: readonly string[], from: number, to: number): Operation[] {
  return clients.flatMap(client => {
    const all = run.operationsOf.get(client) ?? [];
    let first = 0, end = all.length;
    // Where the first stands that was not over.
    while (first < end) {
      const middle = (first + end) >>> 1;
      if ((all[middle]!.to?.t ?? Infinity) < from) first = middle + 1; else end = middle;
    }
    while (end < all.length && all[end]!.from.t <= to) end++;
    return all.slice(first, end);
  });
}

/** What a step changed on a server, in words: `commit_index 4 -> 5`. */
export function effects(run: Run, step: number, number: number): string[] {
  const server = run.servers[number];
  if (!server) return [];
  const out: string[] = [];
  for (const line of linesOf(run, step)) if ("server" in line && line.server === number) effect(server, step, line, out);
  return [...new Set(out)];
}

function effect(server: Server, step: number, line: Line, out: string[]): void {
  const before = server.state.at(step - 1), now = server.state.at(step)!;
  switch (line.kind) {
    case "state": {
      if (!before) { out.push(`${now.role} in term ${now.term}`); break; }
      if (now.term !== before.term) out.push(`current_term ${before.term} \u2192 ${now.term}`);
      if (now.role !== before.role) out.push(`${before.role} \u2192 ${now.role}`);
      if (now.voted_for !== before.voted_for && now.voted_for != null) out.push(`voted_for ${now.voted_for}`);
      if (now.commit !== before.commit) out.push(`commit_index ${before.commit} \u2192 ${now.commit}`);
      if (now.applied !== before.applied && now.applied !== null) out.push(`last_applied ${before.applied} \u2192 ${now.applied}`);
      break;
    }
    case "log": {
      const had = before?.last ?? 0;
      const from = Number(line.from), last = Number(line.entries.at(-1)?.[0] ?? from - 1);
      if (from <= had) out.push(`log: removes ${range(from, had)}`);
      if (last >= from) out.push(`log: appends ${range(from, last)}`);
      break;
    }
    case "compact": out.push(`snapshot up to ${line.index} of term ${line.term === 0 ? "?" : line.term}`); break;
    case "progress": {
      const changes = server.progress.get(line.follower)!;
      const was = changes.at(step - 1), old = was?.term === now?.term ? was : undefined;
      const shown = (name: string, a: Numeral | undefined, b: Numeral) => a === b ? `${name} stays ${b}` : `${name} ${a ?? "?"} \u2192 ${b}`;
      out.push(`${shown(`next_index[${line.follower}]`, old?.next, line.next)}, ${shown(`match_index[${line.follower}]`, old?.match, line.match)}`);
      break;
    }
    case "apply": out.push(`applies ${line.command} at index ${line.index}`); break;
    case "apply-snapshot": out.push(`hands its service the snapshot up to ${line.index}`); break;
    default: break;
  }
}

const range = (from: number, to: number): string => from === to ? `entry ${from}` : `entries ${from} to ${to}`;

/** Both ends of what came of a message at its receiver: at its delivery, and when the reply to it left. */
export function consequences(run: Run, message: Message): string[] {
  if (message.fate !== "delivered" || typeof message.to !== "number" || !message.end) return [];
  const steps = [message.end.step];
  if (!message.reply) {
    const call = run.calls.get(message.line.call);
    const reply = call?.replies.find(reply => reply.sent.step >= message.end!.step && !reply.original);
    if (reply && call?.request === message) steps.push(reply.sent.step);
  }
  return [...new Set(steps.flatMap(step => effects(run, step, message.to as number)))];
}
