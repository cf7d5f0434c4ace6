// The page in a real browser, for whoever has one: CHROMIUM names a Chromium, which is started headless.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { type Browser, type Page, chromium } from "playwright-core";
import type { Timeline } from "../src/hooks.ts";
import { HOSTILE, large, pageOf, replication, votedTwice } from "./script.ts";

const program = process.env["CHROMIUM"];
const skip = program ? false : "CHROMIUM is not set; no page was opened";
declare const window: { timeline: Timeline; owned?: boolean };

describe("in a browser", { skip }, () => {
  let browser: Browser, folder: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "timeline-"));
    browser = await chromium.launch({ executablePath: program!, args: ["--no-sandbox"] });
  });
  after(async () => {
    await browser.close();
    rmSync(folder, { recursive: true });
  });

  interface Open { page: Page; complaints: string[]; requests: string[]; close(): Promise<void> }
  async function open(log: string, hash = "", dark = false): Promise<Open> {
    const file = join(folder, "page.html");
    writeFileSync(file, pageOf(log));
    const page = await browser.newPage({ viewport: { width: 1300, height: 850 }, colorScheme: dark ? "dark" : "light" });
    const complaints: string[] = [], requests: string[] = [];
    page.on("console", message => complaints.push(message.text()));
    page.on("pageerror", error => complaints.push(error.message));
    page.on("request", request => requests.push(request.url()));
    await page.goto(`file://${file}${hash}`);
    await page.waitForFunction(() => window.timeline !== undefined);
    return { page, complaints, requests, close: () => page.close() };
  }
  const seen = (page: Page) => page.evaluate(() => {
    const { steps, messages, shown, cursor, view, servers, drawn, rows, selected } = window.timeline;
    return { steps, messages, shown, cursor, view, servers, drawn, rows, selected };
  });
  /** What is drawn is drawn with the next frame. */
  const settled = (page: Page) => page.evaluate(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))));
  async function press(page: Page, ...keys: string[]) {
    for (const key of keys) await page.keyboard.press(key);
    await settled(page);
    return seen(page);
  }

  test("a run is drawn: lanes, arrows, cells, and nobody is asked for anything", async () => {
    const { page, complaints, requests, close } = await open(replication().text);
    const first = await seen(page);
    assert.equal(first.drawn.lanes, 3);
    assert.equal(first.drawn.arrows.length, first.messages);
    assert.equal(first.drawn.arrows.filter(a => a.fate === "dropped").length, 1);
    assert.equal(first.drawn.cells, 0);
    const last = await press(page, "End");
    assert.equal(last.drawn.cells, 9);
    assert.equal(last.drawn.pointers, 2);
    assert.deepEqual(complaints, []);
    assert.equal(requests.length, 1, requests.join("\n"));
    await close();
  });

  test("keys step through events, and state follows", async () => {
    const { page, close } = await open(replication().text);
    const start = await seen(page);
    const next = await press(page, "ArrowRight");
    assert.ok(next.cursor.step > start.cursor.step);
    assert.deepEqual((await press(page, "ArrowLeft")).cursor, start.cursor);
    const elected = await press(page, "l", "l", "l", "l");
    assert.deepEqual(elected.servers.map(s => s.role), ["leader", "follower", "follower"]);
    await press(page, "End");
    const commits = (await seen(page)).servers.map(s => s.commit);
    assert.deepEqual(commits, [3, 3, 3]);
    await press(page, "?");
    assert.equal(await page.locator("dialog[open]").count(), 1);
    await close();
  });

  test("filters take messages away, by button and by key", async () => {
    const { page, close } = await open(replication().text);
    const all = await seen(page);
    await page.getByRole("button", { name: "heartbeats" }).click();
    await settled(page);
    const fewer = await seen(page);
    assert.ok(fewer.shown < all.shown && fewer.drawn.arrows.length === fewer.shown);
    await page.getByRole("button", { name: "delivered" }).click();
    await settled(page);
    assert.deepEqual((await seen(page)).drawn.arrows.map(a => a.fate), ["dropped"]);
    await page.getByRole("button", { name: "delivered" }).click();
    const one = await press(page, "2");
    assert.ok(one.shown < fewer.shown && one.shown > 0);
    await close();
  });

  test("hovering a message tells all of it, and what came of it", async () => {
    const { page, close } = await open(replication().text);
    const arrow = (await seen(page)).drawn.arrows.find(a => a.type === "AppendEntries")!;
    const canvas = (await page.locator("#timeline").boundingBox())!;
    await page.mouse.move(canvas.x + arrow.x, canvas.y + arrow.y);
    const tip = await page.locator("#tip").innerText();
    for (const word of ["leader_id", "prev_log_index", "prev_log_term", "entries", "leader_commit", "success", "next_index[1]", "match_index[1] 0 \u2192 1", "commit_index 0 \u2192 1"]) {
      assert.ok(tip.includes(word), `${word} in\n${tip}`);
    }
    await page.mouse.click(canvas.x + arrow.x, canvas.y + arrow.y);
    assert.equal((await seen(page)).selected, arrow.id);
    const sent = (await seen(page)).cursor.step;
    const arrived = await press(page, "c");
    assert.notEqual(arrived.cursor.step, sent);
    await close();
  });

  test("a failure opens at its moment, with the rule and what shows it", async () => {
    const script = votedTwice();
    const { page, complaints, close } = await open(script.text);
    const { cursor } = await seen(page);
    assert.equal(cursor.n, JSON.parse(script.lines.find(line => line.includes('"failure"'))!).n);
    const head = await page.locator("#head").innerText();
    assert.ok(head.includes("server 3 voted twice in term 2") && head.includes("a server votes for at most one candidate"), head);
    assert.equal(await page.locator("#evidence button").count(), 2);
    await page.locator("#evidence button").first().click();
    assert.ok((await seen(page)).cursor.step < cursor.step);
    assert.equal((await press(page, "f")).cursor.step, cursor.step);
    // There it opens, behind all that shows it: the key leads to the first of these, and at last back here.
    assert.ok((await press(page, "e")).cursor.step < cursor.step);
    assert.equal((await press(page, "E")).cursor.step, cursor.step);
    assert.deepEqual(complaints, []);
    await close();
  });

  test("a failure that no event shows tells where it was, who hangs, and what came before", async () => {
    const script = replication();
    script.lines.pop();
    script.line("failure", { text: "index out of bounds", place: "raft/src/raft.rs:7:9", thread: "rpc-1", stuck: ["thread 'ticker': waits\n  tick"], servers: [1], evidence: [] }).end(false);
    const { page, complaints, close } = await open(script.text);
    const head = await page.locator("#head").innerText(), detail = await page.locator("#detail").innerText();
    for (const part of ["at raft/src/raft.rs:7:9, in thread rpc-1", "thread 'ticker': waits\n  tick"]) assert.ok(head.includes(part), head);
    for (const part of ["before it, heartbeats left out", "server 1 applies `300` at index 3", "the last message that reached server 1"]) assert.ok(detail.includes(part), detail);
    const { cursor } = await seen(page);
    await page.locator("#detail button").first().click();
    assert.ok((await seen(page)).cursor.step < cursor.step);
    assert.deepEqual(complaints, []);
    await close();
  });

  test("an impossible history opens at its last operation, with the answer to it", async () => {
    const script = replication();
    script.lines.pop();
    script.line("op", { id: 900, client: "clerk 0", op: "put", key: "k", value: "new" });
    const put = script.send("clerk 0", 0, "execute");
    script.wait(900).deliver(put).wait(900).deliver(script.reply(put)).line("op-end", { id: 900, value: null });
    script.wait(5000).line("op", { id: 901, client: "clerk 1", op: "get", key: "k" });
    const get = script.send("clerk 1", 2, "execute");
    script.wait(900).deliver(get).wait(900).deliver(script.reply(get)).line("op-end", { id: 901, value: "old" });
    const end = script.n;
    script.wait(1_000_000).line("failure", { text: "impossible", servers: [], evidence: [], core: [900, 901] }).end(false);
    const { page, complaints, close } = await open(script.text);
    assert.equal((await seen(page)).cursor.n, end);
    assert.equal(await page.locator("#evidence button").count(), 2);
    const detail = await page.locator("#detail").innerText();
    assert.ok(detail.includes("the last answer to it") && detail.includes("S2 \u2192 clerk 1"), detail);
    assert.deepEqual(complaints, []);
    await close();
  });

  test("what the code under test says stays text", async () => {
    const { page, complaints, close } = await open(votedTwice().text);
    const marks = await page.evaluate(() => ({
      scripts: document.scripts.length, images: document.images.length, title: document.title, text: document.body.innerText,
    }));
    assert.deepEqual([marks.scripts, marks.images, marks.title], [2, 0, "a run"]);
    assert.ok(marks.text.includes(HOSTILE.slice(0, 40)), "it is shown as it is");
    assert.deepEqual(complaints, []);
    // Were it to become markup after all, the policy would not let it run.
    await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "window.owned = true";
      document.body.append(script);
    });
    assert.equal(await page.evaluate(() => window.owned), undefined);
    assert.match(complaints.join(), /Content Security Policy/);
    await close();
  });

  test("the list searches, and brings the cursor along", async () => {
    const { page, close } = await open(votedTwice().text);
    const { rows } = await seen(page);
    await page.getByPlaceholder("search").fill("here it is");
    const found = (await seen(page)).rows;
    assert.ok(found.total === 1 && rows.total > 1);
    await page.locator("#rows .row").first().click();
    assert.equal((await seen(page)).cursor.t, 175520);
    await close();
  });

  test("a link leads to the same place", async () => {
    const one = await open(votedTwice().text);
    await press(one.page, "e", "E", "E", "+", "4");
    await one.page.getByLabel("search the lines").fill("no such line");
    await one.page.getByLabel("whose log lines").selectOption("2");
    await one.page.waitForFunction(() => location.hash.includes("among=3") && location.hash.includes("of=2"));
    const hash = await one.page.evaluate(() => location.hash), there = await seen(one.page);
    await one.close();
    const two = await open(votedTwice().text, hash), here = await seen(two.page);
    assert.deepEqual([here.cursor, here.shown], [there.cursor, there.shown]);
    assert.ok(Math.abs(here.view.from - there.view.from) < 5 && Math.abs(here.view.to - there.view.to) < 5);
    assert.equal(await two.page.getByLabel("search the lines").inputValue(), "no such line");
    assert.equal(await two.page.getByLabel("whose log lines").inputValue(), "2");
    assert.equal(await two.page.locator("#rows .row").count(), 0);
    // Another link, in a page that is open already: the filter of the first is not in it.
    await two.page.evaluate(n => { location.hash = `#n=${n}`; }, there.cursor.n);
    await two.page.waitForFunction(() => window.timeline.shown === window.timeline.messages);
    await two.close();
  });

  test("a damaged page says so", async () => {
    const file = join(folder, "damaged.html");
    writeFileSync(file, pageOf(replication().text).replace(/(id="data">)..../, "$1AAAA"));
    const page = await browser.newPage();
    await page.goto(`file://${file}`);
    await page.getByText("This page cannot be shown").waitFor();
    await page.close();
  });

  test("dark pages are dark, and paper is white", async () => {
    const { page, close } = await open(replication().text, "", true);
    const ground = () => page.evaluate(() => [...document.querySelector("canvas")!.getContext("2d")!.getImageData(3, 3, 1, 1).data.slice(0, 3)]);
    assert.ok((await ground()).every(c => c < 60));
    await page.evaluate(() => { dispatchEvent(new Event("beforeprint")); });
    assert.ok((await ground()).every(c => c > 200));
    await close();
  });

  test("logs of real runs open, at the failure if there is one", async () => {
    for (const name of readdirSync("tests/logs")) {
      const log = gunzipSync(readFileSync(join("tests/logs", name))).toString();
      const { page, complaints, close } = await open(log);
      const state = await seen(page);
      assert.ok(state.messages > 0 && state.drawn.arrows.length > 0, name);
      const failure = log.split("\n").find(line => line.startsWith('{"kind":"failure"'));
      assert.equal(failure === undefined, name.startsWith("passed"), name);
      if (failure !== undefined) assert.equal(state.cursor.n, JSON.parse(failure).n, name);
      else assert.equal(state.cursor.t, 0, name);
      assert.deepEqual(complaints, [], name);
      await close();
    }
  });

  test("as much as a log may hold opens and moves", async t => {
    const script = large(60_000), text = script.text;
    const began = performance.now();
    const { page, complaints, close } = await open(text);
    const opened = performance.now() - began;
    const times = await page.evaluate(async () => {
      const canvas = document.getElementById("timeline")!, out: number[] = [];
      for (let i = 0; i < 60; i++) {
        const key = i < 12 ? "-" : i < 30 ? "]" : i < 45 ? "+" : "ArrowRight";
        dispatchEvent(new KeyboardEvent("keydown", { key }));
        await new Promise(done => requestAnimationFrame(done));
        out.push(Number(canvas.dataset["paintMs"]));
      }
      return out.sort((a, b) => a - b);
    });
    t.diagnostic(`${script.n} events in ${(pageOf(text).length / 1e6).toFixed(1)} MB: opened in ${(opened / 1000).toFixed(2)} s; a frame takes ${times[30]} ms, at most ${times.at(-1)} ms`);
    assert.ok((await seen(page)).messages > 10_000);
    assert.deepEqual(complaints, []);
    await close();
  });
});
