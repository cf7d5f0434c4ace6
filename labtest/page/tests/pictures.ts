// Makes the pictures of the documentation, from logs of real runs: `make screenshots`.
//
// Those of docs/log-replication.md are of the run that it tells of, docs/runs/rejoin_2B.ndjson. The others are of failures.
//
// The logs in tests/logs were written by the labs' own tests, with one of the known bugs each:
//
//   vote-never-saved          mutants/41, vote_kept_2C
//   commit-by-counting        mutants/19, figure8_2C
//   commit-to-own-last-index  mutants/24, commit_bound_2B
//   passed                    the solution, basic_agree_2B
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { type Page, chromium } from "playwright-core";
import type { Timeline } from "../src/hooks.ts";
import { pageOf } from "./script.ts";

declare const window: { timeline: Timeline };

interface Picture {
  name: string;
  log: string;
  dark?: boolean;
  /** The position in the page's address. */
  at?: string;
  /** What is done before. */
  act?: (page: Page) => Promise<void>;
  /** What is shown of the page: from its top down to the end of this element. All of it if absent. */
  downTo?: string;
  /** What is shown of it: this element alone. */
  only?: string;
  height?: number;
}

async function hover(page: Page, which: (arrow: Timeline["drawn"]["arrows"][number]) => boolean): Promise<void> {
  const arrows = await page.evaluate(() => window.timeline.drawn.arrows), arrow = arrows.find(which);
  const canvas = await page.locator("#timeline").boundingBox();
  if (!arrow || !canvas) throw new Error("there is no such arrow");
  await page.mouse.move(canvas.x + arrow.x, canvas.y + arrow.y);
}

const PICTURES: Picture[] = [
  { name: "replicated", log: "rejoin_2B", at: "#n=29&from=599600&to=602400", height: 985 },
  { name: "conflict", log: "rejoin_2B", at: "#n=227&from=2527000&to=2534500", height: 880 },
  { name: "repaired", log: "rejoin_2B", at: "#n=233&from=2527000&to=2534500", height: 1000, only: "#logs" },
  { name: "voted-twice", log: "vote-never-saved", height: 670 },
  { name: "figure-8", log: "commit-by-counting", height: 1000, downTo: "#overview" },
  { name: "figure-8-logs", log: "commit-by-counting", height: 1000, only: "#logs" },
  { name: "own-last-index", log: "commit-to-own-last-index", dark: true, height: 900, downTo: "#overview" },
  { name: "own-last-index-logs", log: "commit-to-own-last-index", dark: true, height: 1000, only: "#logs" },
  {
    name: "hover", log: "passed", height: 660,
    act: async page => {
      // To where the second command has been acknowledged by one follower.
      for (let i = 0; i < 60 && await page.evaluate(() => Number(window.timeline.servers[0]?.commit ?? 0)) < 2; i++) await page.keyboard.press("ArrowRight");
      await page.evaluate(() => new Promise(done => requestAnimationFrame(done)));
      await hover(page, arrow => arrow.type === "AppendEntries" && arrow.kind === "append");
    },
  },
];

const WIDTH = 1180;
const program = process.env["CHROMIUM"], target = process.argv[2];
if (!program || !target) throw new Error("usage: CHROMIUM=program node build/pictures.mjs DIRECTORY");
const folder = mkdtempSync(join(tmpdir(), "pictures-"));
const browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox", "--disable-lcd-text", "--font-render-hinting=none"] });
try {
  for (const { name, log, dark, at, act, downTo, only, height } of PICTURES) {
    const file = join(folder, `${name}.html`);
    const recorded = log === "rejoin_2B" ? readFileSync(`../../docs/runs/${log}.ndjson`) : gunzipSync(readFileSync(`tests/logs/${log}.ndjson.gz`));
    writeFileSync(file, pageOf(recorded.toString()));
    const page = await browser.newPage({ viewport: { width: WIDTH, height: height ?? 780 }, colorScheme: dark ? "dark" : "light" });
    await page.goto(`file://${file}${at ?? ""}`);
    await page.waitForFunction(() => window.timeline !== undefined);
    await act?.(page);
    // The next frame shows it.
    await page.evaluate(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))));
    const path = join(target, `${name}.png`);
    const down = downTo === undefined ? undefined : await page.locator(downTo).boundingBox();
    const picture = only !== undefined ? await page.locator(only).screenshot({ path })
      : await page.screenshot(down ? { path, clip: { x: 0, y: 0, width: WIDTH, height: down.y + down.height } } : { path });
    console.log(`${path}: ${Math.ceil(picture.length / 1000)} kB`);
    await page.close();
  }
} finally {
  await browser.close();
  rmSync(folder, { recursive: true });
}
