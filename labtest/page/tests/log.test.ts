import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "../src/log.ts";
import { modelOf } from "../src/model.ts";
import { effects } from "../src/moment.ts";
import * as words from "../src/words.ts";
import { HOSTILE, Script, replication } from "./script.ts";

test("a whole log is read, line by line", () => {
  const script = replication(), log = parse(script.text);
  assert.deepEqual(log.notes, []);
  assert.equal(log.lines.length, script.lines.length - 1);
  assert.equal(log.head.test, "lab_2b::basic_agree_2B");
  assert.equal(log.lines.at(-1)!.kind, "end");
});

test("a seed keeps all its digits", () => {
  const text = replication().text.replace('"seed":17', '"seed":18446744073709551615');
  assert.equal(parse(text).head.seed, "18446744073709551615");
});

const HUGE = "18446744073709551615";

test("messages keep all digits of their numbers", () => {
  const sent = (from: string, to: string) => {
    const log = parse(replication().text.replace(from, to)), run = modelOf(log);
    const message = run.messages.find(m => words.message(m).includes("1844"));
    return { notes: log.notes.join(), text: message && words.message(message), fields: message && words.fields(message) };
  };
  const before = /"prev_log_index":\d+/.exec(replication().text)![0];
  const { notes, text, fields } = sent(before, `"prev_log_index":${HUGE}`);
  assert.equal(notes, "");
  assert.ok(text?.includes(`after ${HUGE} of term`), text);
  assert.ok(fields?.some(([name, value]) => name === "prev_log_index" && value === HUGE));
});

test("servers keep all digits of their numbers, and where they lose some it is said", () => {
  const { text } = replication();
  const field = (kind: string, name: string) => new RegExp(`("kind":"${kind}"[^}]*"${name}":)\\d+`);
  const read = (kind: string, name: string, value: string) => {
    assert.match(text, field(kind, name));
    const log = parse(text.replace(field(kind, name), `$1${value}`));
    return { log, run: modelOf(log), notes: log.notes.join() };
  };
  for (const name of ["term", "commit"] as const) {
    const { run, notes } = read("state", name, HUGE);
    assert.equal(notes, "");
    const step = run.servers[0]!.state.steps.find((_, i) => run.servers[0]!.state.values[i]![name] === HUGE);
    assert.ok(step !== undefined, name);
    if (name === "term") assert.ok(effects(run, step, 0).includes(`follower in term ${HUGE}`));
    assert.equal(read("state", name, "8999999999999999").run.servers[0]!.state.values.some(state => state[name] === 8999999999999999), true);
  }
  const { run } = read("progress", "next", HUGE);
  assert.ok(run.servers.some(server => [...server.progress.values()].some(changes => changes.values.some(progress => progress.next === HUGE))));
  const cells = parse(text.replace(/("kind":"log"[^}]*"entries":\[\[\d+,)\d+/, `$1${HUGE}`));
  assert.ok(modelOf(cells).servers.some(server => [...server.cells.values()].some(changes => changes.values.some(cell => cell?.term === HUGE))));
  // Where a log begins and ends is reckoned with.
  assert.match(read("state", "last", HUGE).notes, /shown rounded/);
  // Digits within a text are none, and what must be small is not believed if it is large.
  const line = `{"kind":"phase","t":99999999,"n":99999,"title":"a,${HUGE},[${HUGE}]\\",${HUGE},"}`;
  const phase = parse(text.replace(/{"kind":"end"/, `${line}\n$&`)).lines.find(line => line.kind === "phase" && line.title.includes("1844"));
  assert.ok(phase?.kind === "phase" && phase.title === `a,${HUGE},[${HUGE}]",${HUGE},`, JSON.stringify(phase));
  assert.match(read("state", "server", HUGE).notes, /1 lines of the log could not be read/);
});

test("what is no log is refused", () => {
  for (const text of ["", "{}", "<html>", '{"schema":"something else","version":1}']) assert.throws(() => parse(text), /no event log/);
});

test("lines that cannot be read are counted, those of a later version are not", () => {
  const script = new Script(3);
  for (const bad of ["{", "7", "null", '{"kind":"send","t":1,"n":1}', '{"kind":"crash","server":0}', '{"kind":"log","t":1,"n":1,"server":0,"from":1,"entries":[7]}',
    '{"kind":"links","t":1,"n":1,"groups":[1]}']) script.lines.push(bad);
  for (const later of ['{"kind":"telepathy","t":1,"n":1}', '{"kind":"constructor","t":1,"n":1}', '{"kind":"toString","t":1,"n":1}']) script.lines.push(later);
  const log = parse(script.end().text);
  assert.deepEqual(log.notes, ["7 lines of the log could not be read and are not shown."]);
});

test("a file that ends early says so", () => {
  const script = replication();
  script.lines.pop();
  assert.match(parse(script.text).notes.join(), /not whole/);
  assert.match(parse(script.text.slice(0, -30)).notes.join(), /1 lines.*not whole/);
  assert.match(parse(replication().text.replace('"version":1', '"version":2')).notes.join(), /version 2/);
});

test("characters that hide or turn text are shown by their numbers", () => {
  const script = new Script(3);
  script.line("line", { server: 1, thread: "x", level: "info", target: "raft", text: `${HOSTILE} two\nlines` }).end();
  const line = parse(script.text).lines.find(line => line.kind === "line");
  assert.ok(line?.kind === "line");
  assert.ok(line.text.includes("\\u{202e}") && line.text.includes("\\u{0}") && line.text.includes("two\nlines"), line.text);
  assert.ok(!/[\u202e\0]/.test(line.text));
});
