// A camera's card: its picture, the mode and why, latency against the deadline, link, bytes, energy, and its sum.

import { spark, strip } from "./charts.js";
import { copy, element, mark, reveal, say } from "./elements.js";
import { FATES } from "./fates.js";
import { ago, bits, bytes, digits, joules, seconds, share, span, watts } from "./format.js";
import { account } from "./ledger.js";
import { Picture, found } from "./picture.js";

const LINKS = { proxy: "proxy link", virtual: "virtual link", tun: "tun link", real: "real link", none: "link not shaped" };

const STEPS = ["head", "encode", "link", "wait", "tail", "local", "fit", "filter"]; // each keeps its colour on every card

export class Card {
  constructor(layers, request) {
    this.parts = copy("camera");
    this.root = this.parts.card;
    this.layers = layers;
    this.request = request;
    this.picture = new Picture(this.parts.picture);
    this.view = null;
    this.near = true;
    this.dirty = new Set();
  }

  show(view) {
    this.view = view;
    this.dirty.add("view");
  }

  see(view) {
    this.picture.take(view, () => {
      this.dirty.add("picture");
      this.request();
    });
  }

  // Draws what has changed, where it can be seen; a card far below costs nothing.
  draw() {
    if (!this.near || !this.view) return;
    if (this.dirty.has("view")) this.#figures();
    if (this.dirty.has("picture")) {
      this.picture.draw(this.layers);
      this.#seen();
    }
    this.dirty.clear();
  }

  #figures() {
    const { parts, view } = this;
    const { figures: now } = view;
    say(parts.name, view.node);
    const [state, tone] = connection(view);
    say(parts.state, state);
    mark(parts.state, "data-tone", tone);
    mark(this.root, "data-away", tone === "bad" ? "" : null);
    say(parts.link, view.link_kind ? (LINKS[view.link_kind] ?? `${view.link_kind} link`) : "");
    say(parts.condition, view.condition);
    say(parts.model, view.model ? `model ${view.model.slice(0, 8)}` : "");
    say(parts.mode, view.mode);
    mark(parts.mode, "data-mode", view.mode);
    say(parts.point, view.point);
    reveal(parts.point, Boolean(view.point && view.point !== view.mode));
    say(parts.quality, view.quality === null ? "" : `quality ${digits(view.quality, 2)} ·`);
    say(parts.why, view.why || (view.mode ? "no reason given" : "has not answered a frame yet"));
    const latency = `p50 ${seconds(now.latency_p50)} · p95 ${seconds(now.latency_p95)}`;
    say(parts.latency, latency);
    say(parts.deadline, view.deadline ? `deadline ${seconds(view.deadline)}` : "no deadline known");
    strip(parts.strip, view.frames, FATES, view.deadline);
    mark(parts.strip, "aria-label", `Latency of the last ${view.frames.length} frames of ${view.node}: ${latency}`);
    steps(parts.times, parts.steps, now.parts);
    say(parts.rate, bits(view.link_rate));
    spark(parts.rates, view.rates, "muted");
    say(parts.bytes, `${bytes(now.bytes_second)}/s`);
    say(parts.bytesframe, now.bytes_frame === null ? "" : `${bytes(now.bytes_frame)} a frame`);
    say(parts.energy, joules(now.energy_frame));
    say(parts.from, now.energy_frame === null ? "" : now.provenance);
    mark(parts.from, "data-from", now.provenance);
    say(parts.power, now.energy_frame === null ? "" : watts(now.power));
    say(parts.frames, `${digits(now.frames_second)} /s`);
    say(parts.late, now.late_share === null ? "" : `${share(now.late_share)} late`);
    account(parts.sum, view.accounts);
  }

  #seen() {
    const { view } = this.picture;
    if (!view) return;
    const fate = view.fate === "answered" ? found(view) : view.fate ? `${view.fate}: ${view.reason}` : "no answer known for this frame";
    say(this.parts.seen, fate);
    say(this.parts.frame, view.frame === null ? "" : `frame ${view.frame.toLocaleString("en-GB")}`);
    mark(this.parts.seen, "data-fate", view.fate);
  }
}

// Where the time goes: a bar of the steps' shares, and their names and times. Rows stay while the steps are the same.
function steps(bar, list, times) {
  const names = Object.keys(times);
  const hue = (name, i) => `b${STEPS.includes(name) ? STEPS.indexOf(name) : (STEPS.length + i) % 8}`;
  if (bar.dataset.names !== names.join("\n")) {
    bar.dataset.names = names.join("\n");
    bar.replaceChildren(...names.map((name, i) => element("i", { class: hue(name, i) })));
    list.replaceChildren(...names.map((name, i) => element("li", {}, element("i", { class: hue(name, i) }), `${name} `, element("b"))));
  }
  names.forEach((name, i) => {
    bar.children[i].style.flexGrow = String(times[name] * 1e3);
    say(list.children[i].lastElementChild, seconds(times[name]));
  });
}

function connection({ connected, heard }) {
  if (connected === null) return [heard < 5 ? "no status yet" : `silent for ${span(heard)}`, heard < 5 ? "warn" : "bad"];
  if (!connected) return [`not connected, last heard ${ago(heard)}`, "bad"];
  return heard < 5 ? ["connected", "good"] : [`connected, silent for ${span(heard)}`, "warn"];
}
