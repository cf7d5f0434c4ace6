// Writes event logs by hand, for tests: what happens is said in the order of time.
import { deflateSync } from "node:zlib";
import { readFileSync } from "node:fs";
import type { Entry, Party } from "../src/log.ts";

type Fields = Record<string, unknown>;
export interface Sent { id: number; call: number; from: Party; to: Party; type: string }

export class Script {
  readonly lines: string[] = [];
  t = 0;
  n = 0;
  private ids = 0;
  private calls = 0;

  constructor(readonly servers: number, more: Fields = {}) {
    this.lines.push(JSON.stringify({
      schema: "raft-labs-event-log", version: 1, test: "lab_2b::basic_agree_2B", seed: 17, build: "1f2e3d4c", time: "sim", servers,
      replay: "LAB_SEED=17@1f2e3d4c cargo test -p raft -- --exact lab_2b::basic_agree_2B", written: 1790000000, left_out: 0, ...more,
    }));
    for (let server = 0; server < servers; server++) {
      this.line("start", { server, life: 0, state_bytes: 0, snapshot_bytes: 0 });
      this.also("state", { server, role: "follower", term: 0, voted_for: null, leader: null, commit: 0, applied: 0, first: 1, last: 0 });
    }
  }

  /** A new event. */
  line(kind: string, fields: Fields = {}): this {
    this.n++;
    return this.also(kind, fields);
  }
  /** What the last event brought about. */
  also(kind: string, fields: Fields = {}): this {
    this.lines.push(JSON.stringify({ kind, t: this.t, n: this.n, ...fields }));
    return this;
  }
  wait(micros: number): this { this.t += micros; return this; }

  send(from: Party, to: Party, type: string, fields: Fields = {}): Sent {
    const sent = { id: this.ids++, call: this.calls++, from, to, type };
    this.line("send", { ...sent, bytes: 40, ...fields });
    return sent;
  }
  deliver(sent: Sent): this { return this.line("deliver", { id: sent.id }); }
  drop(sent: Sent, why: string): this { return this.line("drop", { id: sent.id, why }); }
  reply(to: Sent, fields: Fields = {}): Sent {
    const sent = { id: this.ids++, call: to.call, from: to.to, to: to.from, type: `${to.type}Reply` };
    this.line("send", { ...sent, bytes: 9, ...fields });
    return sent;
  }
  copy(of: Sent): Sent {
    const id = this.ids++;
    this.line("duplicate", { id, of: of.id });
    return { ...of, id };
  }
  state(server: number, fields: Fields): this { return this.also("state", { server, ...fields }); }

  end(ok = true): this { return this.line("end", { ok, events: this.n, lines: 0, left_out: { events: 0, lines: 0 } }); }
  get text(): string { return this.lines.join("\n") + "\n"; }
}

const command = (index: number): string => "`" + 100 * index + "`";
const entriesOf = (from: number, to: number, term: number): Entry[] =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => [from + i, term, command(from + i)]);

/** An election, won by server 0. */
function elect(s: Script, term: number, leader = 0, last = 0): void {
  s.line("says", { server: leader, term: term - 1, is_leader: false });
  const asked = Array.from({ length: s.servers }, (_, i) => i).filter(i => i !== leader).map(to => {
    const sent = s.send(leader, to, "RequestVote", { term, last_log_index: last, last_log_term: last > 0 ? 1 : 0 });
    s.state(leader, { role: "candidate", term, voted_for: leader, leader: null });
    return sent;
  });
  s.wait(900);
  const answers = asked.map(sent => {
    s.deliver(sent);
    const reply = s.reply(sent, { term, vote_granted: true });
    s.state(sent.to as number, { role: "follower", term, voted_for: leader, leader: null });
    return reply;
  });
  s.wait(700);
  answers.forEach((reply, i) => {
    s.deliver(reply);
    if (i !== 0) return;
    s.state(leader, { role: "leader", leader });
    for (let follower = 0; follower < s.servers; follower++) if (follower !== leader) s.also("progress", { server: leader, follower, next: last + 1, match: 0 });
  });
}

/** One entry, from `start` to its application everywhere; the message to the last server is lost the first time. */
function agree(s: Script, index: number, term: number, lossy: boolean): void {
  s.line("accept", { server: 0, index, term, command: command(index) });
  s.also("log", { server: 0, from: index, entries: entriesOf(index, index, term) }).state(0, { last: index });
  const others = Array.from({ length: s.servers - 1 }, (_, i) => i + 1);
  const append = (to: number) => {
    const sent = s.send(0, to, "AppendEntries", {
      term, prev_log_index: index - 1, prev_log_term: index > 1 ? term : 0, leader_commit: index - 1, count: 1, entries: entriesOf(index, index, term),
    });
    s.also("progress", { server: 0, follower: to, next: index + 1, match: index - 1 });
    return sent;
  };
  const acknowledge = (sent: Sent) => {
    const to = sent.to as number;
    s.deliver(sent);
    const reply = s.wait(30).reply(sent, { term, success: true });
    s.also("log", { server: to, from: index, entries: entriesOf(index, index, term) }).state(to, { last: index, leader: 0 });
    return reply;
  };
  const sent = others.map(append);
  if (lossy) s.drop(sent.at(-1)!, "Loss");
  s.wait(1000);
  const replies = (lossy ? sent.slice(0, -1) : sent).map(acknowledge);
  s.wait(800);
  replies.forEach((reply, i) => {
    s.deliver(reply).also("progress", { server: 0, follower: reply.from, next: index + 1, match: index });
    if (i === Math.floor(s.servers / 2) - 1) s.state(0, { commit: index });
  });
  s.line("apply", { server: 0, index, command: command(index) }).state(0, { applied: index });
  if (lossy) {
    s.wait(50_000);
    const again = acknowledge(append(s.servers - 1));
    s.wait(500).deliver(again).also("progress", { server: 0, follower: s.servers - 1, next: index + 1, match: index });
  }
  s.wait(20_000);
  for (const to of others) {
    const beat = s.send(0, to, "AppendEntries", { term, prev_log_index: index, prev_log_term: term, leader_commit: index, count: 0, entries: [] });
    s.wait(300).deliver(beat).state(to, { commit: index });
    s.line("apply", { server: to, index, command: command(index) }).state(to, { applied: index });
    s.wait(200).deliver(s.reply(beat, { term, success: true }));
  }
}

/** An election and three entries among three servers; one message is lost, and sent again. */
export function replication(): Script {
  const s = new Script(3);
  s.line("phase", { title: "agree on 3 commands" });
  s.wait(150_000);
  elect(s, 1);
  for (let index = 1; index <= 3; index++) { s.wait(10_000); agree(s, index, 1, index === 2); }
  return s.wait(1000).end();
}

export const HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\u202e\u0000";

/** A server votes twice in term 2; crashes, a partition, a freeze, copies and delays besides; all names are hostile. */
export function votedTwice(): Script {
  const s = new Script(5, { test: `lab_2c::${HOSTILE}`, seed: 18446744073709551 });
  s.line("phase", { title: `look for ${HOSTILE}` }).wait(150_000);
  elect(s, 1);
  agree(s, 1, 1, false);
  s.line("line", { server: 1, thread: "server 1", level: "warn", target: "raft", text: HOSTILE });
  s.line("line", { server: 2, thread: "server 2", level: "debug", target: "note", text: "here it is" });
  s.wait(5000).line("links", { groups: [[0, 1], [2, 3, 4]] });
  s.line("crash", { server: 1, life: 0, how: "power cut" }).line("freeze", { server: 4 });
  const beat = s.send(0, 2, "AppendEntries", { term: 1, prev_log_index: 1, prev_log_term: 1, leader_commit: 1, count: 0, entries: [] });
  s.drop(beat, "LinkDisabled");
  s.wait(200_000);
  const first = s.send(2, 3, "RequestVote", { term: 2, last_log_index: 1, last_log_term: 1 });
  s.state(2, { role: "candidate", term: 2, voted_for: 2 });
  const copy = s.copy(first);
  s.line("delay", { id: copy.id, by: 9000 });
  s.wait(1000).deliver(first);
  const yes = s.reply(first, { term: 2, vote_granted: true });
  s.state(3, { term: 2, voted_for: 2, leader: null });
  const one = s.n;
  s.wait(900).deliver(yes).wait(9000).deliver(copy);
  s.line("crash", { server: 3, life: 0, how: "power cut" }).wait(30_000).line("start", { server: 3, life: 1, state_bytes: 12, snapshot_bytes: 0 });
  s.also("state", { server: 3, role: "follower", term: 2, voted_for: null, leader: null, commit: 0, applied: 0, first: 1, last: 1 });
  s.also("log", { server: 3, from: 1, entries: entriesOf(1, 1, 1) });
  s.line("thaw", { server: 4 }).wait(10_000);
  const second = s.send(4, 3, "RequestVote", { term: 2, last_log_index: 1, last_log_term: 1 });
  s.state(4, { role: "candidate", term: 2, voted_for: 4, leader: null });
  s.wait(1000).deliver(second);
  s.reply(second, { term: 2, vote_granted: true });
  s.state(3, { voted_for: 4 });
  s.also("failure", {
    text: `server 3 voted twice in term 2: for server 2 and for server 4\n${HOSTILE}`, rule: "one-vote-per-term",
    says: "a server votes for at most one candidate in a term", paper: "section 5.2; figure 2, votedFor", servers: [2, 3, 4], term: 2, index: 1, evidence: [one, s.n],
  });
  return s.end(false);
}

/** As much as a log may hold: seven servers, fifteen clerks, losses, and so many events. */
export function large(events: number): Script {
  const s = new Script(7);
  s.wait(150_000);
  elect(s, 1);
  let index = 0, op = 0;
  while (s.n < events) {
    index++;
    if (index % 4 === 0) {
      const client = `clerk ${index % 15}`, id = op++;
      s.line("op", { id, client, op: "append", key: "k", value: `x ${index}` });
      const call = s.send(client, 0, "append");
      s.wait(100).deliver(call);
      agree(s, index, 1, index % 5 === 0);
      s.deliver(s.reply(call)).line("op-end", { id, value: null });
    } else agree(s, index, 1, index % 5 === 0);
    if (index % 3 === 0) s.line("line", { server: index % 7, thread: "x", level: "debug", target: "raft", text: `append ${index}` });
  }
  return s.end();
}

/** A page as the harness writes it. */
export function pageOf(log: string): string {
  const page = readFileSync("dist/page.html", "utf8");
  return page.replace("{{title}}", () => "a run").replace("{{data}}", () => deflateSync(log).toString("base64"));
}
