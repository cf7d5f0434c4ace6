// Where things stand on the timeline: a lane for each server, thinner ones for clients, arrows between them.
import type { Axis } from "./axis.ts";
import { above } from "./changes.ts";
import type { Party } from "./log.ts";
import type { Message, Run } from "./model.ts";
import type { Scale } from "./view.ts";

/** Left of the lanes stand their names. */
export const GUTTER = 132;
/** Above them the times and the test's phases. */
export const AXIS = 52;
/** The band of a server, and that of a client. */
export const BAND = 24;
export const THIN = 10;

export interface Lane { party: Party; top: number; height: number }
export interface Lanes { lanes: Lane[]; height: number; of: Map<Party, Lane> }

/** Spreads the lanes over a height; they keep a least distance, so they may need more. */
export function lanesOf(run: Run, clients: readonly string[], height: number): Lanes {
  const servers = run.servers.length, others = clients.length;
  const below = others * (THIN + 4) + (others > 0 ? 22 : 0);
  const gap = Math.min(Math.max((height - AXIS - below - servers * BAND - 26) / Math.max(servers - 1, 1), 20), 90);
  const lanes: Lane[] = [];
  let top = AXIS + 8;
  for (const server of run.servers) { lanes.push({ party: server.number, top, height: BAND }); top += BAND + gap; }
  if (others > 0) {
    top += 22 - gap + 6;
    for (const client of clients) { lanes.push({ party: client, top, height: THIN }); top += THIN + 4; }
  } else top += 18 - gap;
  return { lanes, height: Math.max(top + 4, AXIS + BAND), of: new Map(lanes.map(lane => [lane.party, lane])) };
}

export interface Arrow { message: Message; x1: number; y1: number; x2: number; y2: number; broken: boolean }

/** How far a message that is lost at once gets, of the way, so that one sees whither it went. */
const STUB = 0.45;

/** The line of a message; `undefined` if one of its ends has no lane. */
export function arrowOf(run: Run, message: Message, lanes: Lanes, scale: Scale): Arrow | undefined {
  const a = lanes.of.get(message.from), b = lanes.of.get(message.to);
  if (!a || !b || a === b) return undefined;
  const down = b.top > a.top;
  const y1 = down ? a.top + a.height : a.top, y2 = down ? b.top : b.top + b.height;
  const x1 = scale.x(message.sent.t);
  if (message.fate === "delivered") return { message, x1, y1, x2: scale.x(message.end!.t), y2, broken: false };
  if (message.fate === "on its way") return { message, x1, y1, x2: scale.x(run.duration), y2: y1 + (y2 - y1) * 0.9, broken: true };
  const t = message.end!.t - message.sent.t;
  const x2 = Math.max(scale.x(message.end!.t), x1 + Math.min(14, Math.abs(y2 - y1) * 0.2));
  return { message, x1, y1, x2, y2: y1 + (y2 - y1) * (t > 0 ? 0.8 : STUB), broken: true };
}

/** Flights longer than this are few, and looked through one by one. */
const LONG = 150_000;

const isRare = (message: Message): boolean => message.method === "RequestVote" || message.method === "InstallSnapshot";

/** So many counts are remembered: that of the whole run, and some others. */
const COUNTED = 8;

/** Finds what is on its way within a time, among the messages shown. */
export class Flights {
  private readonly sent: Float64Array;
  private readonly long: number[];
  /** Votes and snapshots. */
  private readonly rare: Message[];
  private readonly rareSent: number[];
  /** Where their sendings stand on the axis, and what was counted last: a picture is painted often, and is seldom another. */
  private on: { axis: Axis; sent: Float64Array } | undefined;
  private readonly counted = new Map<string, { sent: Uint32Array; lost: Uint32Array }>();

  constructor(private readonly run: Run, private readonly places: number[]) {
    this.sent = Float64Array.from(places, place => run.messages[place]!.sent.t);
    this.long = places.filter(place => this.until(run.messages[place]!) - run.messages[place]!.sent.t > LONG);
    this.rare = places.map(place => run.messages[place]!).filter(isRare);
    this.rareSent = this.rare.map(m => m.sent.t);
  }

  get count(): number { return this.places.length; }

  private until(message: Message): number { return message.end?.t ?? this.run.duration; }

  /**
   * All of them, if they are no more than `limit`; else votes and snapshots alone, and of those evenly spread ones if even
   * they are too many. And how many there are in all.
   */
  within(from: number, to: number, limit: number): { messages: Message[]; total: number } {
    const { run } = this;
    const first = above(this.sent, from - LONG), begun = above(this.sent, from), last = above(this.sent, to);
    const before = this.long.map(place => run.messages[place]!).filter(m => m.sent.t <= from - LONG && this.until(m) >= from);
    for (let i = first; i < begun; i++) {
      const message = run.messages[this.places[i]!]!;
      if (this.until(message) >= from) before.push(message);
    }
    const total = before.length + last - begun;
    if (total <= limit) return { messages: before.concat(this.places.slice(begun, last).map(place => run.messages[place]!)), total };
    const rare = before.filter(isRare).concat(this.rare.slice(above(this.rareSent, from), above(this.rareSent, to)));
    const every = Math.ceil(rare.length / limit);
    return { messages: rare.filter((_, i) => i % Math.max(every, 1) === 0), total };
  }

  /** How many were sent in each of `count` equal columns of the screen, and how many of those were lost. */
  density(scale: Scale, count: number): { sent: Uint32Array; lost: Uint32Array } {
    if (this.on?.axis !== scale.axis) {
      this.on = { axis: scale.axis, sent: this.sent.map(t => scale.axis.u(t)) };
      this.counted.clear();
    }
    const { from, to } = scale.view, key = `${from} ${to} ${count}`, known = this.counted.get(key);
    if (known) return known;
    const us = this.on.sent, sent = new Uint32Array(count), lost = new Uint32Array(count);
    const first = us.findIndex(u => u >= from), columns = count / (to - from);
    for (let i = first < 0 ? us.length : first; i < us.length && us[i]! <= to; i++) {
      const at = Math.min(count - 1, Math.floor((us[i]! - from) * columns));
      sent[at]!++;
      if (this.run.messages[this.places[i]!]!.fate === "dropped") lost[at]!++;
    }
    if (this.counted.size > COUNTED) this.counted.clear();
    this.counted.set(key, { sent, lost });
    return { sent, lost };
  }
}

/** The distance of a point from an arrow. */
export function distance(a: Arrow, x: number, y: number): number {
  const dx = a.x2 - a.x1, dy = a.y2 - a.y1, length = dx * dx + dy * dy;
  const along = length === 0 ? 0 : Math.min(Math.max(((x - a.x1) * dx + (y - a.y1) * dy) / length, 0), 1);
  return Math.hypot(x - a.x1 - along * dx, y - a.y1 - along * dy);
}
