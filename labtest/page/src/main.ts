// Puts the page together: unpacks the log, makes the model, and lets pictures and panels follow what the reader does.
import { App } from "./app.ts";
import { type CellsView, CELL, cellUnder, cellsOf } from "./cells.ts";
import { byId, h, prepare } from "./dom.ts";
import { hooks } from "./hooks.ts";
import { keyboard } from "./keyboard.ts";
import { AXIS, GUTTER, distance } from "./lanes.ts";
import { unpack } from "./load.ts";
import { parse } from "./log.ts";
import { type Message, modelOf } from "./model.ts";
import { inView, serverAt } from "./moment.ts";
import { cellsHeight, paintCells } from "./paint/cells.ts";
import { OVERVIEW, overviewScale, paintOverview } from "./paint/overview.ts";
import { theme } from "./paint/theme.ts";
import { type Drawn, paintTimeline } from "./paint/timeline.ts";
import { card } from "./panels/card.ts";
import { cellCard, operationCard, serverCard } from "./panels/cards.ts";
import { detail } from "./panels/detail.ts";
import { head } from "./panels/head.ts";
import { help } from "./panels/help.ts";
import { List } from "./panels/list.ts";
import { progress } from "./panels/progress.ts";
import { tools } from "./panels/tools.ts";

class Page {
  private readonly timeline = byId<HTMLCanvasElement>("timeline");
  private readonly overview = byId<HTMLCanvasElement>("overview");
  private readonly cells = byId<HTMLCanvasElement>("cells");
  private readonly lanes = byId("lanes");
  private readonly logs = byId("logs");
  private readonly tip = byId("tip");
  private readonly list: List;
  private readonly updateTools: () => void;
  private look = theme();
  private frame = 0;
  private drawn: Drawn | undefined;
  private cellsView: CellsView | undefined;
  private detailed = "";

  constructor(private readonly app: App) {
    head(byId("head"), app);
    const openHelp = help(byId<HTMLDialogElement>("help"));
    this.list = new List(byId("list"), app);
    this.updateTools = tools(byId("tools"), app, openHelp, () => this.list.refill());
    keyboard(app, openHelp, this.list);
    this.pointer();
    app.watch(() => this.draw());
    const again = () => { this.look = theme(); this.draw(); };
    new ResizeObserver(() => this.draw()).observe(this.lanes);
    new ResizeObserver(() => this.draw()).observe(this.logs);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    // On paper, dark grounds are of no use.
    const print = (yes: boolean) => { document.documentElement.classList.toggle("light", yes); this.look = theme(); this.paint(); };
    addEventListener("beforeprint", () => print(true));
    addEventListener("afterprint", () => print(false));
    addEventListener("hashchange", () => { if (location.hash !== this.app.address()) { app.goTo(location.hash); this.list.refill(); } });
    if (location.hash.length > 1) { app.goTo(location.hash); this.list.refill(); }
    this.paint();
    hooks(app, () => ({ drawn: this.drawn, cells: this.cellsView, rows: this.list }));
  }

  private draw(): void {
    if (this.frame === 0) this.frame = requestAnimationFrame(() => { this.frame = 0; this.paint(); });
  }

  private paint(): void {
    const started = performance.now(), { app, look } = this;
    // As much room for the lanes as they like, up to half of the page.
    const wanted = `${Math.min(app.run.servers.length * 56 + (app.clients.length > 0 ? app.clients.length * 14 + 24 : 0) + 50, innerHeight * 0.5)}px`;
    if (this.lanes.style.flexBasis !== wanted) this.lanes.style.flexBasis = wanted;
    // All that is asked of the layout is asked before it is changed.
    const width = this.lanes.clientWidth, height = this.lanes.clientHeight, logsWidth = this.logs.clientWidth - 16;
    this.list.follow();
    const given = Math.max(height, this.drawn?.lanes.height ?? 0);
    let g = prepare(this.timeline, width, given);
    this.drawn = paintTimeline(g, app, look, width, height);
    // The lanes need another room than there is: once more, with it.
    const needed = Math.max(height, this.drawn.lanes.height);
    if (needed !== given) {
      g = prepare(this.timeline, width, needed);
      this.drawn = paintTimeline(g, app, look, width, height);
    }
    paintOverview(prepare(this.overview, width, OVERVIEW), app, look, width);
    const { failure } = app.run, wrong = failure?.line.index === undefined ? undefined : Number(failure.line.index);
    this.cellsView = cellsOf(app.run, app.step, logsWidth, app.index, failure && app.step >= (failure.evidence[0] ?? failure.moment.step) ? wrong : undefined);
    paintCells(prepare(this.cells, logsWidth, cellsHeight(this.cellsView)), this.cellsView, look, logsWidth, wrong);
    this.updateTools();
    const shown = `${app.step} ${app.selected?.place}`;
    if (shown !== this.detailed) {
      this.detailed = shown;
      progress(byId("progress"), app);
      detail(byId("detail"), app);
    }
    this.timeline.dataset["paintMs"] = (performance.now() - started).toFixed(1);
    this.keepAddress();
  }

  private addressTimer = 0;
  /** Browsers refuse to change the address too often: once things are quiet. */
  private keepAddress(): void {
    clearTimeout(this.addressTimer);
    this.addressTimer = window.setTimeout(() => {
      const address = this.app.address();
      if (location.hash !== address) history.replaceState(null, "", address);
    }, 250);
  }

  private messageAt(x: number, y: number): Message | undefined {
    if (!this.drawn || x < GUTTER || y < AXIS) return undefined;
    let best: Message | undefined, least = 6;
    for (const arrow of this.drawn.arrows) {
      const d = distance(arrow, x, y);
      if (d < least) { least = d; best = arrow.message; }
    }
    return best;
  }

  /** On a server's lane, how it stands there; on a client's, its operation. */
  private laneCard(x: number, y: number): HTMLElement | undefined {
    const { app: { run }, drawn } = this;
    const lane = x < GUTTER ? undefined : drawn?.lanes.lanes.find(lane => y >= lane.top && y <= lane.top + lane.height);
    if (!lane || !drawn) return undefined;
    const t = drawn.scale.t(x);
    if (typeof lane.party === "number") return serverCard(serverAt(run, run.servers[lane.party]!, this.app.stepAt(t)), t);
    const op = inView(run, [lane.party], t, t)[0];
    return op && operationCard(op);
  }

  private pointer(): void {
    const { app, timeline, overview, cells } = this;
    let drag: { x: number; from: number; to: number; moved: boolean } | undefined;
    const place = (e: MouseEvent) => { const box = timeline.getBoundingClientRect(); return [e.clientX - box.left, e.clientY - box.top] as const; };
    timeline.addEventListener("pointerdown", e => { drag = { x: e.clientX, from: app.view.from, to: app.view.to, moved: false }; timeline.setPointerCapture(e.pointerId); timeline.focus(); });
    timeline.addEventListener("pointermove", e => {
      const [x, y] = place(e);
      if (drag) {
        if (Math.abs(e.clientX - drag.x) > 3) drag.moved = true;
        const by = (drag.x - e.clientX) * (this.drawn?.scale.perPixel ?? 0);
        if (drag.moved) { this.hideTip(); app.setView({ from: drag.from + by, to: drag.to + by }); }
        return;
      }
      const message = this.messageAt(x, y);
      timeline.style.cursor = message ? "pointer" : "crosshair";
      app.hover(message);
      const shown = message ? card(app.run, message, true) : this.laneCard(x, y);
      if (shown) this.showTip(e, shown); else this.hideTip();
    });
    timeline.addEventListener("pointerup", e => {
      const clicked = drag && !drag.moved;
      drag = undefined;
      if (!clicked || !this.drawn) return;
      const [x, y] = place(e), message = this.messageAt(x, y);
      if (!message) { if (x > GUTTER) { app.select(undefined); app.moveTo(app.stepAt(this.drawn.scale.t(x))); } return; }
      app.selected = message;
      const arrow = this.drawn.arrows.find(a => a.message === message)!;
      const end = message.end && Math.abs(x - arrow.x2) + Math.abs(y - arrow.y2) < Math.abs(x - arrow.x1) + Math.abs(y - arrow.y1);
      app.moveTo(end ? message.end!.step : message.sent.step);
    });
    timeline.addEventListener("pointercancel", () => { drag = undefined; });
    timeline.addEventListener("pointerleave", () => { app.hover(undefined); this.hideTip(); });
    timeline.addEventListener("wheel", e => {
      e.preventDefault();
      this.hideTip();
      if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) app.pan((e.deltaX || e.deltaY) / timeline.clientWidth);
      else app.zoom(Math.exp(e.deltaY * 0.0018), this.drawn?.scale.uAt(place(e)[0]));
    }, { passive: false });
    const jump = (e: PointerEvent) => {
      if (e.type === "pointermove" && e.buttons === 0) return;
      const t = overviewScale(app, overview.clientWidth).uAt(e.clientX - overview.getBoundingClientRect().left);
      const half = (app.view.to - app.view.from) / 2;
      app.setView({ from: t - half, to: t + half });
    };
    overview.addEventListener("pointerdown", jump);
    overview.addEventListener("pointermove", jump);
    cells.addEventListener("pointermove", e => {
      const box = cells.getBoundingClientRect();
      const hit = this.cellsView && cellUnder(this.cellsView, e.clientX - box.left, e.clientY - box.top);
      if (hit) this.showTip(e, cellCard(hit)); else this.hideTip();
    });
    cells.addEventListener("pointerleave", () => this.hideTip());
    cells.addEventListener("wheel", e => {
      const by = e.shiftKey ? e.deltaY || e.deltaX : e.deltaX;
      if (by === 0 || !this.cellsView) return;
      e.preventDefault();
      app.scrollLogs(Math.max(1, this.cellsView.first + Math.sign(by) * Math.max(1, Math.round(Math.abs(by) / CELL))));
    }, { passive: false });
    cells.addEventListener("dblclick", () => app.scrollLogs(undefined));
  }

  private showTip(e: MouseEvent, content: HTMLElement): void {
    const { tip } = this;
    tip.replaceChildren(content);
    tip.style.display = "block";
    tip.style.left = `${Math.max(4, Math.min(e.clientX + 16, innerWidth - tip.offsetWidth - 8))}px`;
    const below = e.clientY + 18;
    tip.style.top = `${Math.max(4, below + tip.offsetHeight > innerHeight ? Math.min(e.clientY - tip.offsetHeight - 12, innerHeight - tip.offsetHeight - 4) : below)}px`;
  }
  private hideTip(): void { this.tip.style.display = "none"; }
}

async function start(): Promise<void> {
  try {
    const run = modelOf(parse(await unpack(byId("data").textContent ?? "")));
    new Page(new App(run));
  } catch (error) {
    byId("head").replaceChildren(h("h1", {}, "This page cannot be shown"), h("p", {}, String(error)));
    throw error;
  }
}

void start();
