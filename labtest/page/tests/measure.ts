// Says how long pages take to open and to move: `make measure_page CHROMIUM=program PAGES="/a.html /b.html"`.
//
// Each page is opened five times, in a browser of its own; told are the middle one and the slowest. Processor time is that of the
// page's main thread. Then it is moved as a reader would: zoomed out to the whole run and in again, dragged, stepped through,
// with the pointer over it.
import { type CDPSession, chromium } from "playwright-core";
import { statSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import type { Timeline } from "../src/hooks.ts";

declare const window: { timeline: Timeline };

const OPENINGS = 5;
const program = process.env["CHROMIUM"], pages = process.argv.slice(2);
if (!program || pages.length === 0) throw new Error("usage: CHROMIUM=program node build/measure.mjs PAGE...");

const middle = (all: number[]): number => all.toSorted((a, b) => a - b)[all.length >> 1]!;
const worst = (all: number[]): number => Math.max(...all);
async function processor(session: CDPSession): Promise<number> {
  const { metrics } = await session.send("Performance.getMetrics");
  return metrics.find(metric => metric.name === "ThreadTime")!.value * 1000;
}

/** The moves, each as often as it says: what the pointer and the keys do to the page. */
const MOVES: [name: string, times: number, keys: string[], pointer: boolean][] = [
  ["zoom out", 20, ["-"], false],
  ["move, all in view", 20, ["]", "["], false],
  ["pointer, all in view", 20, [], true],
  ["zoom in", 25, ["+"], false],
  ["move, zoomed in", 30, ["]"], false],
  ["pointer, zoomed in", 30, [], true],
  ["step", 40, ["ArrowRight"], false],
  ["step back", 40, ["ArrowLeft"], false],
];

console.log(`load ${loadavg().map(load => load.toFixed(2)).join(" ")} on ${cpus().length} processors`);
for (const file of pages) {
  const wall: number[] = [], cpu: number[] = [];
  for (let opening = 0; opening < OPENINGS; opening++) {
    const browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox"] });
    const page = await browser.newPage({ viewport: { width: 1600, height: 1000 } });
    const session = await page.context().newCDPSession(page);
    await session.send("Performance.enable");
    const began = performance.now();
    await page.goto(`file://${file}`);
    await page.waitForFunction(() => window.timeline !== undefined, undefined, { polling: 10 });
    await page.evaluate(() => new Promise(done => requestAnimationFrame(() => setTimeout(done))));
    wall.push(performance.now() - began);
    cpu.push(await processor(session));
    if (opening === OPENINGS - 1) {
      const { steps, messages } = await page.evaluate(() => ({ steps: window.timeline.steps, messages: window.timeline.messages }));
      console.log(`${file.split("/").at(-1)}: ${(statSync(file).size / 1e6).toFixed(2)} MB, ${steps} events, ${messages} messages`);
      console.log(`  opens in ${middle(wall).toFixed(0)} ms (at most ${worst(wall).toFixed(0)}), of which ${middle(cpu).toFixed(0)} ms (${worst(cpu).toFixed(0)}) on the main thread`);
      for (const [name, times, keys, pointer] of MOVES) {
        const before = await processor(session);
        const frames = await page.evaluate(async ({ times, keys, pointer }) => {
          const out: number[] = [], canvas = document.getElementById("timeline")!, box = canvas.getBoundingClientRect();
          for (let i = 0; i < times; i++) {
            // Callbacks are called in the order in which they were asked for; the page asks for its own in between.
            let begun = 0, handled = 0;
            const painted = new Promise<number>(done => {
              requestAnimationFrame(() => { begun = performance.now(); });
              const at = performance.now();
              if (pointer) {
                const place = { clientX: box.left + 150 + (i * 37) % (box.width - 200), clientY: box.top + 60 + (i * 29) % (box.height - 80), bubbles: true };
                canvas.dispatchEvent(new PointerEvent("pointermove", place));
              } else dispatchEvent(new KeyboardEvent("keydown", { key: keys[i % keys.length]! }));
              handled = performance.now() - at;
              requestAnimationFrame(() => done(performance.now() - begun));
            });
            out.push(await painted + handled);
          }
          return out;
        }, { times, keys, pointer });
        const each = (await processor(session) - before) / times;
        console.log(`  ${name}: ${middle(frames).toFixed(1)} ms of script a frame, at most ${worst(frames).toFixed(1)}; ${each.toFixed(1)} ms of processor time in all`);
      }
    }
    await browser.close();
  }
}
