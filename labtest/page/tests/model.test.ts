import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "../src/log.ts";
import { modelOf } from "../src/model.ts";
import { cellAt, consequences, effects, groupOf, leaderAt, leadersAt, progressAt, serverAt } from "../src/moment.ts";
import { fate, kindOf } from "../src/words.ts";
import { Script, replication, votedTwice } from "./script.ts";

const runOf = (script: Script) => modelOf(parse(script.text));

test("each message has its fate, and each call its halves", () => {
  const run = runOf(replication());
  const lost = run.messages.filter(m => m.fate === "dropped");
  assert.equal(lost.length, 1);
  assert.equal(lost[0]!.why, "Loss");
  for (const message of run.messages) {
    const call = run.calls.get(message.line.call)!;
    assert.equal(call.request!.reply, false);
    if (message.reply) assert.equal(message.method, call.request!.method);
    if (message !== lost[0]) assert.equal(call.replies.length, 1);
  }
});

test("state, log and progress are those of the moment", () => {
  const run = runOf(replication());
  const last = run.times.length - 1;
  const leader = leaderAt(run, last)!;
  assert.deepEqual([leader.number, leader.term, leader.commit, leader.applied, leader.last], [0, 1, 3, 3, 3]);
  assert.deepEqual(progressAt(run, leader, 2, last), { next: 4, match: 3, term: 1 });
  assert.equal(leaderAt(run, 3), undefined);
  // Right after the second command is accepted, the leader has it and nobody else.
  const accepted = run.log.lines.find(line => line.kind === "accept" && line.index === 2)!;
  const step = run.numbers.indexOf(accepted.n);
  const cell = (server: number) => { const s = run.servers[server]!; return cellAt(s, serverAt(run, s, step), 2, step); };
  assert.deepEqual(cell(0), { term: 1, command: "`200`" });
  assert.equal(cell(1), null);
});

test("what a message did to its receiver is told, before and after", () => {
  const run = runOf(replication());
  const append = run.messages.find(m => m.line.type === "AppendEntries" && m.line.count === 1)!;
  assert.deepEqual(consequences(run, append), ["log: appends entry 1"]);
  const reply = run.calls.get(append.line.call)!.replies[0]!;
  assert.deepEqual(consequences(run, reply), ["next_index[1] stays 2, match_index[1] 0 \u2192 1", "commit_index 0 \u2192 1"]);
});

test("entries that are replaced or removed leave the log", () => {
  const s = new Script(1);
  const entries = (from: number, ...terms: number[]) => terms.map((term, i) => [from + i, term, null]);
  s.line("apply", { server: 0, index: 1, command: "x" }).also("log", { server: 0, from: 1, entries: entries(1, 1, 1, 1, 1) }).state(0, { last: 4 });
  s.line("links", { groups: [[0]] }).also("log", { server: 0, from: 2, entries: entries(2, 3) }).state(0, { last: 2 });
  s.line("links", { groups: [[0]] }).also("log", { server: 0, from: 2, entries: [] }).state(0, { last: 1 });
  s.line("links", { groups: [[0]] }).also("log", { server: 0, from: 2, entries: entries(2, 4, 4) }).state(0, { last: 3 });
  s.line("links", { groups: [[0]] }).also("compact", { server: 0, index: 2, term: 4 }).state(0, { first: 3 }).end();
  const run = runOf(s), server = run.servers[0]!;
  const terms = (n: number) => {
    const step = run.numbers.indexOf(n);
    return [1, 2, 3, 4].map(index => { const cell = cellAt(server, serverAt(run, server, step), index, step); return cell === undefined ? "snapshot" : cell?.term ?? "-"; }).join(" ");
  };
  assert.deepEqual([2, 3, 4, 5, 6].map(terms), ["1 1 1 1", "1 3 - -", "1 - - -", "1 4 4 -", "snapshot snapshot 4 -"]);
  assert.deepEqual(effects(run, run.numbers.indexOf(3), 0), ["log: removes entries 2 to 4", "log: appends entry 2"]);
});

test("a leader of a new term knows nothing of what it knew in an earlier one", () => {
  const s = new Script(2);
  s.line("says", { server: 0, term: 1, is_leader: true }).state(0, { role: "leader", term: 1 }).also("progress", { server: 0, follower: 1, next: 9, match: 8 });
  s.line("says", { server: 0, term: 2, is_leader: true }).state(0, { term: 2 }).end();
  const run = runOf(s);
  assert.equal(progressAt(run, leaderAt(run, 2)!, 1, 2)?.match, 8);
  assert.equal(progressAt(run, leaderAt(run, 3)!, 1, 3), undefined);
});

test("crashes, freezes, partitions, copies and evidence are found", () => {
  const run = runOf(votedTwice()), failure = run.failure!;
  assert.equal(failure.evidence.length, 2);
  assert.ok(failure.evidence.every(step => run.about.get(step)![0]!.line.type === "RequestVoteReply"));
  const end = failure.moment.step;
  assert.equal(serverAt(run, run.servers[1]!, end).alive, false);
  assert.deepEqual(run.servers.map(s => groupOf(run, s.number, end)), [0, 0, 1, 1, 1]);
  assert.equal(run.servers[3]!.dead.length, 1);
  assert.ok(run.servers[3]!.dead[0]!.to < run.duration, "it came back");
  assert.equal(run.servers[4]!.still.length, 1);
  const copy = run.messages.find(m => m.original)!;
  assert.equal(copy.original!.copies, 1);
  assert.equal(copy.delay, 9000);
  assert.equal(copy.line.term, 2);
  assert.deepEqual(leadersAt(run, end).map(l => l.number), [0]);
});

test("the operations that contradict each other are found by their numbers", () => {
  const s = new Script(1);
  for (const [t, clerk] of [[1000, 0], [2000, 1], [3000, 1]] as const) {
    s.t = t;
    s.line("op", { id: t, client: `clerk ${clerk}`, op: "get", key: "k" });
  }
  // The last of them was left out.
  s.line("failure", { text: "impossible", core: [3000, 1000, 3000, 7] }).end(false);
  const failure = runOf(s).failure!;
  assert.deepEqual(failure.core.map(op => op.line.id), [1000, 3000]);
  assert.equal(failure.evidence.length, 2);
  assert.deepEqual(runOf(votedTwice()).failure!.core, []);
});

test("a reply that is an error is of the kind of its request", () => {
  const s = new Script(2);
  const append = s.send(0, 1, "AppendEntries", { term: 1, prev_log_index: 0, prev_log_term: 0, leader_commit: 0, count: 1, entries: [[1, 1, "x"]] });
  s.wait(100).deliver(append);
  const error = { ...append, id: 77, from: 1, to: 0, type: "append_entriesReply" };
  s.line("send", { ...error, bytes: 4 }).drop(error, "Unanswered").end();
  const run = runOf(s);
  assert.equal(kindOf(run, run.messages[1]!), "append");
  assert.match(fate(run.messages[1]!), /NO ANSWER: the handler returned an error/);
});

test("what nobody outside sees to be applied is not known", () => {
  const s = new Script(1);
  s.line("says", { server: 0, term: 1, is_leader: true }).state(0, { applied: null, commit: 3 }).end();
  for (const line of s.lines.keys()) s.lines[line] = s.lines[line]!.replace('"applied":0', '"applied":null');
  const run = runOf(s);
  assert.equal(run.applies, false);
  assert.equal(serverAt(run, run.servers[0]!, run.times.length - 1).applied, null);
  assert.equal(runOf(replication()).applies, true);
});

test("nonsense does no harm", () => {
  const s = new Script(3);
  s.line("deliver", { id: 99 }).line("drop", { id: 98, why: "x" }).line("duplicate", { id: 5, of: 97 }).line("op-end", { id: 3, value: null });
  s.line("crash", { server: -1, life: 0 }).line("crash", { server: 1e9, life: 0 }).line("state", { server: 0.5, role: "leader" });
  s.line("progress", { server: 0, follower: 1e9, next: 1, match: 0 }).line("send", { id: 1, call: 1, from: 7e8, to: "x", type: "Reply", bytes: 1 });
  const run = runOf(s.end());
  assert.equal(run.servers.length, 3);
  assert.equal(run.messages.length, 1);
});
