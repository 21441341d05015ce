// The charts' past: seconds since this server began, minutes of the time before, and steps of hours and days from its store.

import { count } from "./format.js";

const KEPT = 600; // seconds of a device, as many as the server keeps
const FAR = { 21600: "6h", 604800: "7d" };
const RENEW = 60e3; // ms between two looks into the store while hours or days are shown
// How frames ended, in the order of a point's `fates`: by the mode answered in, dropped, failed; and answered by whatever mode.
export const FATES = ["drop", "local", "split", "image", "local", "drop", "failed", "answered"];
export const LIVE_NOTE = "A second appears three seconds after it ended, when the fate of its frames is known.";
const FAR_NOTE = "From the server's store: frames by the minute in which their record came; bytes are those up and down.";

const byName = (a, b) => a.name.localeCompare(b.name, "en-GB", { numeric: true });

export class Past {
  constructor(changed) {
    this.changed = changed; // called when there is more to draw
    this.live = new Map(); // slot → { slot, name, seconds }
    this.before = new Map(); // name → minutes before this server began
    this.far = []; // series of the range that is shown
    this.window = 180;
    this.epoch = 0;
    this.after = 0;
    this.failed = false;
    setInterval(() => this.#far(), RENEW);
  }

  // The series to draw for the window that was chosen.
  series() {
    if (FAR[this.window]) return this.far;
    const named = [...this.live.values()].sort(byName);
    if (this.window < 600) return named;
    const made = named.map((s) => ({ ...s, seconds: [...this.#earlier(s), ...s.seconds] }));
    return [...made, ...this.#gone(named)];
  }

  get note() {
    if (this.failed) return "The history could not be fetched; it goes on from here.";
    if (FAR[this.window]) return FAR_NOTE;
    return this.after ? `${LIVE_NOTE} ${count(this.after)} frames came later still and are in the table, but not here.` : LIVE_NOTE;
  }

  choose(window) {
    this.window = window;
    this.far = [];
    return this.#far();
  }

  // A second of a camera that has just closed.
  add(slot, name, second) {
    const { seconds } = this.#liveOf(slot, name);
    if (seconds.length && seconds.at(-1).at >= second.at) return;
    seconds.push(second);
    if (seconds.length > KEPT) seconds.shift();
  }

  // Everything that the server has of its own time, and the minutes before it. Gives the server's clock.
  async fetch() {
    const own = await asked("/history");
    this.epoch = own.epoch;
    this.after = 0;
    for (const { slot, node, after, ...columns } of own.nodes) {
      this.#liveOf(slot, node).seconds = rows(columns);
      this.after += after;
    }
    const minutes = await asked("/history?range=10m");
    this.before = new Map(minutes.nodes.map((node) => [node.node, this.#steps(node, minutes)]));
    await this.#far();
    return own.now;
  }

  async #far() {
    const range = FAR[this.window];
    if (!range) return;
    try {
      const found = await asked(`/history?range=${range}`);
      if (FAR[this.window] !== range) return;
      this.far = found.nodes.map((node) => ({ slot: this.#slot(node.node), name: node.node, seconds: this.#steps(node, found) })).sort(byName);
      this.failed = false;
    } catch {
      this.failed = true;
    }
    this.changed();
  }

  // Minutes before the first second of a camera that is here; and cameras that are not here any more.
  #earlier({ name, seconds }) {
    const first = seconds[0]?.at ?? Infinity;
    return (this.before.get(name) ?? []).filter((minute) => minute.at + minute.step <= first);
  }

  #gone(named) {
    const here = new Set(named.map(({ name }) => name));
    return [...this.before].filter(([name]) => !here.has(name)).map(([name, seconds]) => ({ slot: this.#slot(name), name, seconds }));
  }

  #steps({ node: _, ...columns }, { step, now }) {
    const during = (at) => Math.max(60, Math.min(step, now - at)); // s; the newest step is not over yet
    return rows(columns).map((row) => ({
      at: row.at - this.epoch,
      step,
      fates: [0, 0, 0, 0, 0, row.dropped, row.failed, row.answered],
      latency_p50: row.p50,
      latency_p95: row.p95,
      bytes_up: row.bytes / during(row.at),
      energy: row.energy / during(row.at),
      link_rate: null,
      deadline: null,
    }));
  }

  #liveOf(slot, name) {
    if (!this.live.has(slot)) this.live.set(slot, { slot, name, seconds: [] });
    return this.live.get(slot);
  }

  // The number, and so the colour, of a device: its own while it is here, else one of its name.
  #slot(name) {
    const own = [...this.live.values()].find((s) => s.name === name);
    return own ? own.slot : this.live.size + [...name].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 9973, 7);
  }
}

const rows = (columns) => {
  const names = Object.keys(columns);
  return columns.at.map((_, i) => Object.fromEntries(names.map((name) => [name, columns[name][i]])));
};

async function asked(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`HTTP status ${response.status}`);
  return response.json();
}
