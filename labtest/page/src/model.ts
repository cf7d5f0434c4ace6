// The run: every message with its fate, and the state of every server after each step.
//
// A step is all that has one number `n` in the log: an event and what it brought about. Positions in the run are
// numbers of steps, from 0; whatever changes is a list of changes by step, so that any moment is found by binary search.
import { Changes } from "./changes.ts";
import type { EndLine, Entry, FailureLine, Line, LineOf, Log, LogLine, Numeral, Party, Role, SendLine } from "./log.ts";

export interface Moment { step: number; t: number }
export type Fate = "delivered" | "dropped" | "on its way";

export interface Message {
  /** Its place in `Run.messages`. */
  place: number;
  line: SendLine;
  from: Party;
  to: Party;
  /** The procedure: a reply has that of its request. */
  method: string;
  reply: boolean;
  sent: Moment;
  /** When it was delivered or dropped. */
  end?: Moment;
  fate: Fate;
  why?: string;
  /** By how many microseconds it was delayed, beyond the usual latency. */
  delay: number;
  /** When the test's script held it back, and let it go. */
  held?: Moment;
  released?: Moment;
  /** Which message it is a copy of. */
  original?: Message;
  copies: number;
}

export interface Call { request?: Message; others: Message[]; replies: Message[] }

export interface State {
  role: Role; term: Numeral; voted_for: number | null | undefined; leader: number | null | undefined;
  commit: Numeral; applied: Numeral | null; first: number; last: number;
}
export interface Cell { term: Numeral; command: string | null }
export interface Progress { next: Numeral; match: Numeral; term: Numeral }
/** A time in which a server's role and term stay the same. */
export interface Band { step: number; from: number; to: number; role: Role; term: Numeral }
export interface Span { from: number; to: number }

export interface Server {
  number: number;
  state: Changes<State>;
  alive: Changes<boolean>;
  frozen: Changes<boolean>;
  cells: Map<number, Changes<Cell | null>>;
  progress: Map<number, Changes<Progress>>;
  bands: Band[];
  dead: (Span & { how: string })[];
  still: Span[];
}

export interface Operation { line: LineOf<"op">; from: Moment; to?: Moment; value?: string | null }

export interface Run {
  log: Log;
  servers: Server[];
  /** Names of those who are no servers, in the order of their appearance. */
  clients: string[];
  messages: Message[];
  calls: Map<number, Call>;
  /** Of each step: its number in the log, its time, and where its lines begin; one more at the end. */
  numbers: number[];
  times: number[];
  starts: number[];
  /** Which servers reach each other. */
  links: Changes<number[][]>;
  phases: { title: string; moment: Moment }[];
  operations: Map<number, Operation>;
  /** Of each client, its operations in their order: one begins when the one before is over. */
  operationsOf: Map<string, Operation[]>;
  lines: { line: LogLine; moment: Moment }[];
  /** When each of them was logged. */
  lineTimes: number[];
  failure?: { line: FailureLine; moment: Moment; evidence: number[]; core: Operation[] };
  end?: EndLine;
  /** Where each message stands that a step is about: sent, delivered, dropped. */
  about: Map<number, Message[]>;
  duration: number;
  /** Whether one sees what servers apply. Of the key/value service one does not: it takes that inside its server. */
  applies: boolean;
}

/** The lines of a step. */
export function linesOf(run: Run, step: number): Line[] {
  return run.log.lines.slice(run.starts[step] ?? 0, run.starts[step + 1] ?? 0);
}

const NOBODY: State = {
  role: "dead", term: 0, voted_for: undefined, leader: undefined, commit: 0, applied: null, first: 1, last: 0,
};
/** No test has more servers; a larger number is nonsense, and must not exhaust the memory. */
const SERVERS_MAX = 64;

class Builder {
  readonly run: Run;
  private readonly byId = new Map<number, Message>();
  private readonly clients = new Set<string>();
  private now: Moment = { step: -1, t: 0 };

  constructor(log: Log) {
    this.run = {
      log, servers: [], clients: [], messages: [], calls: new Map(), numbers: [], times: [], starts: [], links: new Changes(),
      phases: [], operations: new Map(), operationsOf: new Map(), lines: [], lineTimes: [], about: new Map(), duration: 0, applies: false,
    };
    for (let i = 0; i < Math.min(log.head.servers, SERVERS_MAX); i++) this.server(i);
  }

  build(): Run {
    const { run } = this;
    const { lines } = run.log;
    for (let i = 0; i < lines.length; i++) {
      const line = lines[i]!;
      const last = run.times.length - 1;
      // In real time two threads may note their events in another order than they read the clock.
      const t = Math.max(line.t, run.times[last] ?? 0);
      if (last < 0 || line.n !== run.numbers[last]) { run.numbers.push(line.n); run.times.push(t); run.starts.push(i); }
      else run.times[last] = t;
      this.now = { step: run.times.length - 1, t };
      this.take(line);
    }
    run.starts.push(lines.length);
    run.duration = run.times.at(-1) ?? 0;
    for (const server of run.servers) this.finish(server);
    run.clients = [...this.clients];
    if (run.failure) {
      run.failure.evidence = [...new Set((run.failure.line.evidence ?? [])
        .map(n => run.numbers.indexOf(n)).filter(step => step >= 0))].sort((a, b) => a - b);
      run.failure.core = [...new Set(run.failure.line.core)].flatMap(id => run.operations.get(id) ?? []).sort((a, b) => a.from.step - b.from.step);
      if (run.failure.evidence.length === 0) run.failure.evidence = run.failure.core.map(op => op.from.step);
    }
    return run;
  }

  private server(number: number): Server | undefined {
    if (!Number.isInteger(number) || number < 0 || number >= SERVERS_MAX) return undefined;
    const { servers } = this.run;
    for (let i = servers.length; i <= number; i++) {
      servers.push({
        number: i, state: new Changes(), alive: new Changes(), frozen: new Changes(), cells: new Map(), progress: new Map(),
        bands: [], dead: [], still: [],
      });
    }
    return servers[number];
  }

  private take(line: Line): void {
    const { run, now } = this;
    switch (line.kind) {
      case "start": { const s = this.server(line.server); s?.alive.set(now.step, true); s?.frozen.set(now.step, false); this.closeSpan(s?.dead); this.closeSpan(s?.still); break; }
      case "crash": { const s = this.server(line.server); s?.alive.set(now.step, false); s?.frozen.set(now.step, false); this.closeSpan(s?.still); s?.dead.push({ from: now.t, to: Infinity, how: line.how ?? "" }); break; }
      case "freeze": { const s = this.server(line.server); s?.frozen.set(now.step, true); s?.still.push({ from: now.t, to: Infinity }); break; }
      case "thaw": { const s = this.server(line.server); s?.frozen.set(now.step, false); this.closeSpan(s?.still); break; }
      case "links": run.links.set(now.step, line.groups); break;
      case "send": this.send(line); break;
      case "duplicate": this.duplicate(line.id, line.of); break;
      case "deliver": this.end(line.id, "delivered"); break;
      case "drop": this.end(line.id, "dropped", line.why); break;
      case "delay": { const m = this.byId.get(line.id); if (m) m.delay = line.by; break; }
      case "hold": { const m = this.byId.get(line.id); if (m) m.held = now; break; }
      case "release": { const m = this.byId.get(line.id); if (m) { m.released = now; this.noteAbout(m); } break; }
      case "state": this.state(line); break;
      case "log": this.entries(line.server, line.from, line.entries); break;
      case "progress": this.progress(line); break;
      case "phase": run.phases.push({ title: line.title, moment: now }); break;
      case "op": { const op: Operation = { line, from: now }; run.operations.set(line.id, op); this.operationsOf(line.client).push(op); break; }
      case "op-end": { const op = run.operations.get(line.id); if (op) { op.to = now; op.value = line.value ?? null; } break; }
      case "line": run.lines.push({ line, moment: now }); run.lineTimes.push(now.t); break;
      case "failure": run.failure = { line, moment: now, evidence: [], core: [] }; break;
      case "end": run.end = line; break;
      case "compact": case "apply": case "apply-snapshot": case "accept": case "says": break;
    }
  }

  private closeSpan(spans: Span[] | undefined): void {
    const last = spans?.at(-1);
    if (last && last.to === Infinity) last.to = this.now.t;
  }

  private operationsOf(client: string): Operation[] {
    this.clients.add(client);
    let all = this.run.operationsOf.get(client);
    if (!all) this.run.operationsOf.set(client, all = []);
    return all;
  }

  private send(line: SendLine): void {
    for (const party of [line.from, line.to]) if (typeof party === "string") this.clients.add(party); else this.server(party);
    const reply = line.type.endsWith("Reply");
    this.message({
      place: 0, line, from: line.from, to: line.to, method: reply ? line.type.slice(0, -5) : line.type, reply,
      sent: this.now, fate: "on its way", delay: 0, copies: 0,
    }, line.id);
  }

  private duplicate(id: number, of: number): void {
    const original = this.byId.get(of);
    if (!original) return;
    original.copies++;
    const { line, from, to, method, reply } = original;
    this.message({
      place: 0, line: { ...line, id }, from, to, method, reply, sent: this.now, fate: "on its way", delay: 0, copies: 0, original,
    }, id);
  }

  private message(message: Message, id: number): void {
    message.place = this.run.messages.push(message) - 1;
    this.byId.set(id, message);
    const calls = this.run.calls, call = calls.get(message.line.call) ?? { others: [], replies: [] };
    calls.set(message.line.call, call);
    if (message.reply) call.replies.push(message);
    else if (call.request) call.others.push(message);
    else call.request = message;
    this.noteAbout(message);
  }

  private noteAbout(message: Message): void {
    const here = this.run.about.get(this.now.step);
    if (!here) this.run.about.set(this.now.step, [message]);
    else if (!here.includes(message)) here.push(message);
  }

  private end(id: number, fate: Fate, why?: string): void {
    const message = this.byId.get(id);
    if (!message) return;
    message.fate = fate;
    message.end = this.now;
    if (why !== undefined) message.why = why;
    this.noteAbout(message);
  }

  private state({ kind: _, t: __, n: ___, server: number, ...changed }: LineOf<"state">): void {
    const server = this.server(number);
    if (!server) return;
    const before = server.state.last ?? NOBODY;
    const state: State = { ...before, ...changed, first: Number(changed.first ?? before.first), last: Number(changed.last ?? before.last) };
    if (state.applied !== null) this.run.applies = true;
    server.state.set(this.now.step, state);
    if (server.alive.last === undefined && state.role !== "dead") server.alive.set(this.now.step, true);
    // What is beyond the log's end is gone, and what a snapshot covers is no longer in the log.
    if (state.last < before.last) this.cut(server, state.last + 1, before.last);
    const band = server.bands.at(-1);
    if (band?.role === state.role && band.term === state.term) return;
    if (band) band.to = this.now.t;
    server.bands.push({ step: this.now.step, from: this.now.t, to: Infinity, role: state.role, term: state.term });
  }

  private entries(number: number, from: Numeral, entries: Entry[]): void {
    const server = this.server(number);
    if (!server) return;
    let index = Number(from);
    for (const [at, term, command] of entries) {
      index = Number(at);
      let cell = server.cells.get(index);
      if (!cell) server.cells.set(index, cell = new Changes());
      cell.set(this.now.step, { term, command });
      index++;
    }
    this.cut(server, index, Infinity);
  }

  /** Removes the entries from `index` on, which are without a gap, up to `last`. */
  private cut(server: Server, index: number, last: number): void {
    for (; index <= last; index++) {
      const cell = server.cells.get(index);
      if (!cell || cell.last === null) break;
      cell.set(this.now.step, null);
    }
  }

  private progress({ server: number, follower, next, match }: LineOf<"progress">): void {
    const server = this.server(number);
    if (!server || !this.server(follower)) return;
    let changes = server.progress.get(follower);
    if (!changes) server.progress.set(follower, changes = new Changes());
    changes.set(this.now.step, { next, match, term: server.state.last?.term ?? 0 });
  }

  private finish(server: Server): void {
    for (const span of [...server.bands, ...server.dead, ...server.still]) span.to = Math.min(span.to, this.run.duration);
  }
}

/** What a log tells. */
export function modelOf(log: Log): Run { return new Builder(log).build(); }
