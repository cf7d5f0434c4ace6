import assert from "node:assert/strict";
import { test } from "node:test";
import * as address from "../src/address.ts";
import { Axis, usualFlight } from "../src/axis.ts";
import { cellUnder, cellsOf, CELL, HEAD, LABEL, ROW } from "../src/cells.ts";
import { Changes } from "../src/changes.ts";
import { everything, shown, stops } from "../src/filter.ts";
import { Flights, arrowOf, distance, lanesOf } from "../src/lanes.ts";
import { parse } from "../src/log.ts";
import { modelOf } from "../src/model.ts";
import { Scale, all, fit, pan, reveal, ticks, zoom } from "../src/view.ts";
import { Script, replication, votedTwice } from "./script.ts";

const runOf = (script: Script) => modelOf(parse(script.text));
const evenly = (length: number) => new Axis([length], false, 1000);

test("a value is the one of its last change", () => {
  const changes = new Changes<string>();
  changes.set(2, "a");
  changes.set(5, "b");
  changes.set(5, "c");
  assert.deepEqual([1, 2, 4, 5, 9].map(step => changes.at(step)), [undefined, "a", "a", "c", "c"]);
  assert.deepEqual([1, 2, 4, 5].map(step => changes.changedAt(step)), [false, true, false, true]);
});

test("quiet times are shortened, and nothing else", () => {
  const axis = new Axis([0, 500, 1000, 101_000, 101_500], true, 1000);
  assert.equal(axis.u(1000), 1000);
  assert.ok(axis.u(101_000) > 3000 && axis.u(101_000) < 10_000);
  assert.equal(axis.u(101_500) - axis.u(101_000), 500);
  for (const t of [-5, 0, 750, 40_000, 101_200, 200_000]) assert.ok(Math.abs(axis.t(axis.u(t)) - t) < 1e-6, `${t}`);
  assert.equal(axis.gaps.length, 1);
  assert.equal(new Axis([0, 500, 101_000], false, 1000).u(101_000), 101_000);
  assert.equal(usualFlight([5, 900, 1000, 1100, 9e6]), 1000);
});

test("a view stays within the run, however it is moved", () => {
  const length = 1_000_000, whole = all(length);
  assert.ok(whole.from < 0 && whole.to > length);
  for (const view of [fit({ from: -9e9, to: -8e9 }, length), fit({ from: 5, to: 6 }, length), pan(whole, 9e9, length), zoom(whole, 99, 0, length)]) {
    assert.ok(view.from >= whole.from - 1 && view.to <= whole.to + 1 && view.to - view.from >= 200, JSON.stringify(view));
  }
  const view = zoom({ from: 100_000, to: 200_000 }, 0.5, 120_000, length);
  assert.deepEqual(view, { from: 110_000, to: 160_000 });
  assert.deepEqual(reveal(view, 130_000, length), view);
  assert.ok(reveal(view, 500_000, length).to > 500_000);
  assert.ok(reveal(view, 20_000, length).from < 20_000);
});

test("times stand where they belong, and ticks are round and apart", () => {
  const scale = new Scale(evenly(1_000_000), { from: 0, to: 1_000_000 }, 100, 1100);
  assert.equal(scale.x(500_000), 600);
  assert.equal(scale.t(600), 500_000);
  const at = ticks(scale, 100);
  assert.ok(at.length >= 5 && at.every(t => t % 50_000 === 0), at.join());
  for (let i = 1; i < at.length; i++) assert.ok(scale.x(at[i]!) - scale.x(at[i - 1]!) >= 70);
});

test("arrows lead from lane to lane, and those of lost messages do not arrive", () => {
  const run = runOf(replication()), lanes = lanesOf(run, [], 400);
  const scale = new Scale(evenly(run.duration), { from: 0, to: run.duration }, 100, 1100);
  for (const message of run.messages) {
    const arrow = arrowOf(run, message, lanes, scale)!, to = lanes.of.get(message.to)!;
    const arrives = arrow.y2 === to.top || arrow.y2 === to.top + to.height;
    assert.equal(arrives, message.fate === "delivered");
    assert.equal(arrow.broken, !arrives);
    assert.ok(arrow.x2 >= arrow.x1);
  }
  const [first, second] = lanes.lanes;
  assert.ok(first!.top + first!.height < second!.top);
  assert.equal(distance({ message: run.messages[0]!, x1: 0, y1: 0, x2: 10, y2: 0, broken: false }, 5, 3), 3);
  assert.equal(distance({ message: run.messages[0]!, x1: 0, y1: 0, x2: 10, y2: 0, broken: false }, 14, 3), 5);
});

test("only what is in view is looked at, long flights included", () => {
  const s = new Script(2);
  const slow = s.send(0, 1, "AppendEntries", { term: 1 });
  for (let i = 0; i < 100; i++) { s.wait(10_000); const sent = s.send(0, 1, "AppendEntries", { term: 1 }); s.wait(500).deliver(sent); }
  const vote = s.send(1, 0, "RequestVote", { term: 2 });
  s.deliver(slow).wait(10).deliver(vote).end();
  const run = runOf(s), flights = new Flights(run, shown(run, everything()));
  const within = (from: number, to: number, limit = 1000) => flights.within(from, to, limit);
  assert.deepEqual(within(500_000, 500_001).messages.map(m => m.line.id), [slow.id], "the slow one, and nothing else");
  assert.equal(within(0, run.duration).total, 102);
  const few = within(0, run.duration, 10);
  assert.deepEqual([few.total, few.messages.map(m => m.method)], [102, ["RequestVote"]], "too many: only the rare ones");
  const scale = new Scale(evenly(run.duration), { from: 0, to: run.duration }, 0, 100);
  assert.equal(flights.density(scale, 10).sent.reduce((a, b) => a + b), 102);
});

test("filters take away what they say, and the keys pass over it", () => {
  const run = runOf(votedTwice());
  const count = (change: (f: ReturnType<typeof everything>) => void) => { const f = everything(); change(f); return shown(run, f).length; };
  const total = count(() => {});
  assert.equal(total, run.messages.length);
  assert.equal(count(f => f.kinds.delete("vote")), run.messages.filter(m => m.method !== "RequestVote").length);
  assert.equal(count(f => { f.replies = false; }), run.messages.filter(m => !m.reply).length);
  assert.equal(count(f => { f.fates.clear(); f.fates.add("lost"); }), 1);
  assert.equal(count(f => { f.fates.clear(); f.fates.add("duplicated"); }), 2);
  assert.equal(count(f => { f.fates.clear(); f.fates.add("delayed"); }), 1);
  assert.equal(count(f => f.among.add(2).add(3)), run.messages.filter(m => [m.from, m.to].every(p => p === 2 || p === 3)).length);
  assert.equal(count(f => f.among.add(1)), run.messages.filter(m => m.from === 1 || m.to === 1).length);
  const none = everything();
  none.kinds.clear();
  const left = stops(run, none);
  assert.ok(left.length < stops(run, everything()).length && left.length > 0);
  assert.ok(left.every(step => !(run.about.get(step)?.length) || run.failure!.moment.step === step));
});

test("heartbeats and appends are told apart, their replies too", () => {
  const run = runOf(replication()), filter = everything();
  filter.kinds = new Set(["append"]);
  const appends = shown(run, filter).map(place => run.messages[place]!);
  assert.ok(appends.length > 0 && appends.every(m => run.calls.get(m.line.call)!.request!.line.count === 1));
  assert.ok(appends.some(m => m.reply));
});

test("the cells show term, commitment and the leader's pointers", () => {
  const run = runOf(replication()), step = run.times.length - 1, view = cellsOf(run, step, LABEL + 20 * CELL, undefined);
  assert.deepEqual(view.rows.map(row => row.cells.length), [3, 3, 3]);
  assert.deepEqual(view.rows.map(row => row.next), [undefined, 4, 4]);
  assert.deepEqual(view.rows.map(row => row.match), [undefined, 3, 3]);
  assert.ok(view.rows[0]!.cells.every(cell => cell.term === 1 && cell.committed && cell.applied));
  const hit = cellUnder(view, LABEL + 1.5 * CELL, HEAD + ROW / 2)!;
  assert.deepEqual([hit.row.server.number, hit.cell.index], [0, 2]);
  assert.equal(cellUnder(view, 3, HEAD + 3), undefined);
  assert.equal(cellUnder(view, LABEL + 10 * CELL, HEAD + 3), undefined);
});

test("a link carries the position, and nothing else is taken from it", () => {
  const filter = everything();
  filter.kinds.delete("heartbeat");
  filter.among.add(2).add("clients");
  filter.replies = false;
  const position = { n: 420, from: 1000, to: 9000, m: 13, even: true, filter };
  assert.deepEqual(address.read(address.write(position)), position);
  assert.deepEqual(address.read("#n=1e9&from=x&m=-&kinds=evil&among=__proto__ 3"), { even: false, filter: { ...everything(), kinds: new Set(), among: new Set([3]) } });
  assert.deepEqual(address.read(""), { even: false });
  const lines = { level: 1, server: 2, text: "a=b & </script> \u00e4" };
  assert.deepEqual(address.read(address.write({ even: false, lines })), { even: false, lines });
  assert.deepEqual(address.read("#level=evil&of=x&find="), { even: false, lines: address.allLines() });
  assert.equal(address.write({ even: false, lines: address.allLines() }), "#");
});
