// The page of the cameras: takes the server's views, gives each camera a card, and draws once a frame.

import { adapting, drawAdapting } from "./adapting.js";
import { Card } from "./camera.js";
import { drawn, element, reveal, say } from "./elements.js";
import { bits, bytes, joules, seconds } from "./format.js";
import { table } from "./ledger.js";
import { FATES, Past } from "./past.js";
import { server } from "./server.js";
import { live, onTheme } from "./shell.js";
import { Timeline } from "./timeline.js";

const at = (id) => document.getElementById(id);

const layers = { boxes: true, cells: true };
const cards = new Map(); // slot → Card
let books = null; // the newest table, drawn with the next frame
let due = false;
let chosen = false; // how far back the charts look, by a person
let run = null; // when this server's books began; another value is another server
let then = { now: 0, at: 0 }; // the server's clock (s) as it was at a moment of ours (ms)
let drawnAt = 0; // ms
let passed = false; // a second has closed, so the charts over time are to be drawn

// Far cards are not drawn; what they missed is drawn when they come near.
const watch = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      const card = [...cards.values()].find(({ root }) => root === entry.target);
      card.near = entry.isIntersecting;
    }
    request();
  },
  { rootMargin: "1200px 0px" },
);

function request() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    draw();
  });
}

function draw() {
  for (const card of cards.values()) card.draw();
  if (books) table(at("rows"), at("totals"), books);
  books = null;
  drawAdapting();
  if (passed) over();
  passed = false;
}

// Draws the charts over time; until a person has chosen how far back, the shortest window that holds everything is taken.
function over() {
  drawnAt = performance.now();
  timeline.now = then.now + (drawnAt - then.at) / 1000;
  if (!chosen) {
    const oldest = Math.min(...[...past.live.values()].map((s) => s.seconds[0]?.at ?? Infinity));
    const wanted = [60, 180, 600].find((window) => timeline.now - oldest <= window) ?? 600;
    timeline.window = past.window = wanted;
    document.querySelector(`#window [value="${wanted}"]`).checked = true;
  }
  timeline.series = past.series();
  timeline.draw();
  keys();
  say(at("history-note"), past.note);
}

// The devices in the charts, with the colours of their lines.
function keys() {
  const names = timeline.series.map((s) => `${s.slot} ${s.name}`).join("\n");
  const host = at("series-keys");
  if (host.dataset.names === names) return;
  host.dataset.names = names;
  host.replaceChildren(
    ...timeline.series.map((s) =>
      element("li", {}, drawn("svg", { width: 16, height: 4, "aria-hidden": "true" }, drawn("path", { class: `series s${s.slot % 8}`, d: "M1 2H15" })), s.name),
    ),
  );
}

function redraw() {
  for (const card of cards.values()) card.dirty.add("view").add("picture");
  request();
}

function cardOf({ slot, node }) {
  if (!cards.has(slot)) {
    const card = new Card(layers, request);
    card.name = node;
    const after = [...cards.values()].filter((c) => c.name.localeCompare(node, "en-GB", { numeric: true }) > 0);
    const next = after.sort((a, b) => a.name.localeCompare(b.name, "en-GB", { numeric: true }))[0];
    at("cameras").insertBefore(card.root, next?.root ?? null);
    cards.set(slot, card);
    watch.observe(card.root);
  }
  return cards.get(slot);
}

const timeline = new Timeline(
  at("panels"),
  at("cursor"),
  at("moment"),
  [
    { title: "How frames ended", parts: (s) => s.fates, tokens: FATES },
    { title: "Latency p50 (p95 faint), and the deadline", far: "Latency p50 (p95 faint)", unit: seconds, value: (s) => s.latency_p50, upper: (s) => s.latency_p95, limit: (s) => s.deadline },
    { title: "Link rate, estimated by the device", far: null, unit: bits, value: (s) => s.link_rate, log: true },
    { title: "Bytes up, a second", far: "Bytes up and down, a second", unit: bytes, value: (s) => s.bytes_up, log: true },
    { title: "Device energy, a second", unit: joules, value: (s) => s.energy },
  ],
  (s) => [`p50 ${seconds(s.latency_p50)}, p95 ${seconds(s.latency_p95)}`, s.step ? null : bits(s.link_rate), bytes(s.bytes_up), joules(s.energy)].filter(Boolean).join(" · "),
);

const past = new Past(over);

// The whole history once a stream has opened; single seconds come with the stream after that.
async function history() {
  try {
    then = { now: await past.fetch(), at: performance.now() };
    over();
  } catch {
    say(at("history-note"), "The history could not be fetched; it goes on from here.");
  }
}

live(
  "/events",
  {
    opened: history,
    server(view) {
      if (run !== null && run !== view.started) location.reload(); // it was started again, perhaps as another version
      run = view.started;
      server(view);
      passed ||= performance.now() - drawnAt > 1000; // time passes without frames as well
      reveal(at("waiting"), view.devices === 0);
      for (const part of ["legend", "history", "sum-accounts"]) reveal(at(part), view.devices > 0);
      say(at("waiting-command"), `edgewise run --source PATH --server ${view.address || location.host}`);
    },
    node: (view) => cardOf(view).show(view),
    picture: (view) => cardOf(view).see(view),
    adapting,
    table: ({ rows }) => (books = rows),
    second({ slot, second }) {
      past.add(slot, cards.get(slot)?.name ?? String(slot), second);
      passed = true;
    },
  },
  draw,
);

onTheme(redraw);
addEventListener("resize", redraw);
for (const name of ["boxes", "cells"]) {
  at(`show-${name}`).addEventListener("change", (event) => {
    layers[name] = event.target.checked;
    redraw();
  });
}
at("window").addEventListener("change", (event) => {
  chosen = true;
  timeline.window = Number(event.target.value);
  void past.choose(timeline.window);
  over();
  at("cursor").value = 0;
  over();
});
