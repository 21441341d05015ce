// The nodes view: takes rows of nodes, rollouts and the audit log as they change, and draws once a frame.

import { element, mark, reveal, say } from "./elements.js";
import { ago, bits, bytes, count, seconds, span } from "./format.js";
import { Rollout, STEPS, short, worth } from "./rollout.js";
import { live } from "./shell.js";

const SOON = 14 * 86400; // s before its end from which a certificate is worth a look
const MOST_LINES = 200;
const at = (id) => document.getElementById(id);
const byName = (a, b) => a.localeCompare(b, "en-GB", { numeric: true });

const nodes = new Map(); // name → { view, body }
const rollouts = new Map(); // key → Rollout
let lines = [];
let changed = false;
let now = Date.now() / 1000; // the server's time of day
let run = null;

function draw() {
  if (!changed) return;
  changed = false;
  sums();
  const find = at("find").value.trim().toLowerCase();
  const names = [...nodes.keys()].sort(byName);
  const shown = names.filter((name) => !find || words(nodes.get(name).view).includes(find));
  for (const name of shown) {
    const node = nodes.get(name);
    if (node.stale) node.body.replaceChildren(...rows(node.view));
    node.stale = false;
  }
  const bodies = shown.map((name) => nodes.get(name).body);
  const table = at("nodes").closest("table");
  const there = [...table.tBodies].filter((body) => body !== at("nodes"));
  if (there.length !== bodies.length || there.some((body, i) => body !== bodies[i])) {
    for (const body of there) body.remove();
    table.append(...bodies);
  }
  reveal(at("nodes"), !bodies.length);
  if (!bodies.length) say(at("nodes").querySelector("td"), names.length ? "No node matches." : "No node yet.");
  say(at("nodes-note"), find ? `${count(shown.length)} of ${count(names.length)}` : names.length ? "" : "A node appears when it first connects.");
  reveal(at("quiet-rollouts"), rollouts.size === 0);
  const channel = names.map((name) => nodes.get(name).view.channel).find(Boolean) ?? "main";
  for (const place of at("quiet-rollouts").querySelectorAll(".channel")) say(place, channel);
  audit();
}

const words = (view) =>
  [view.node, view.role, view.channel, ...view.models.flatMap((m) => [m.model, m.running, m.wanted, m.step ?? "", m.sentence])].join(" ").toLowerCase();

const settled = ({ models }) => models.length > 0 && models.every((m) => !m.wanted || m.running === m.wanted);

function sums() {
  const views = [...nodes.values()].map(({ view }) => view);
  const plain = (n) => count(n);
  say(at("sum-nodes"), `${plain(views.filter((v) => v.connected).length)} of ${plain(views.length)}`);
  say(at("sum-settled"), `${plain(views.filter(settled).length)} of ${plain(views.length)}`);
  const versions = new Set(views.flatMap((v) => v.models.map((m) => m.running).filter(Boolean)));
  say(at("sum-versions"), plain(versions.size));
  const waiting = views.map((v) => v.outbox).filter((n) => n !== null);
  say(at("sum-outbox"), waiting.length ? plain(waiting.reduce((a, b) => a + b, 0)) : "–");
  const ends = views.map((v) => v.expires).filter((end) => end !== null);
  say(at("sum-certificate"), ends.length ? until(Math.min(...ends)) : "–");
}

// How long a certificate lasts yet, in words.
function until(end) {
  const left = end - now;
  if (left <= 0) return "has ended";
  return left < 2 * 3600 ? `in ${span(left)}` : left < 2 * 86400 ? `in ${Math.floor(left / 3600)} h` : `in ${count(Math.floor(left / 86400))} days`;
}

// A node's rows: one, and one more for each further model that it runs.
function rows(view) {
  const models = view.models.length ? view.models : [null];
  return models.map((model, i) =>
    element("tr", { role: "row" }, ...(i === 0 ? [who(view, models.length)] : []), ...versions(model), ...(i === 0 ? rest(view, models.length) : [])),
  );
}

const cell = (name, kind, ...children) => element("td", { role: "cell", "data-name": name, class: kind || null }, ...children);

function who(view, over) {
  const state = view.connected === null ? "untold" : view.connected ? "on" : "off";
  const heard = view.connected ? "connected" : view.heard === null ? "never heard of" : `heard ${ago(now - view.heard)}`;
  return element(
    "th",
    { scope: "rowgroup", role: "rowheader", rowspan: over > 1 ? over : null },
    element("span", { class: "name" }, element("i", { class: "dot", "data-state": state, "aria-hidden": "true" }), view.node),
    element("span", { class: "second" }, [view.role, view.channel, heard].filter(Boolean).join(" · ")),
  );
}

function version(address, number) {
  if (!address) return [element("span", { class: "quiet" }, "not known")];
  return [element("b", {}, number === null ? "" : `v${number} `), element("code", { title: address }, short(address))];
}

const TONES = { good: "good", trial: "warn", ready: "warn", fetching: "warn", refused: "bad", reverted: "bad", failed: "bad" };

function versions(model) {
  if (model === null) return [cell("Runs", "word", element("span", { class: "quiet" }, "not known")), cell("Wants", "word", "–")];
  const same = model.wanted === "" || model.wanted === model.running;
  const step = model.step && element("span", { class: "tag", "data-tone": TONES[model.step], title: model.sentence || null }, STEPS[model.step]);
  const wants = [];
  if (same) wants.push(element("span", { class: "quiet" }, model.wanted ? "the same" : "nothing"), " ", step);
  else wants.push(...version(model.wanted, model.wanted_version), " ", step ?? element("span", { class: "tag" }, "not heard of it yet"));
  if (model.canary) wants.push(" ", element("span", { class: "tag" }, "canary"));
  if (model.sentence && model.step !== "good") wants.push(element("span", { class: "second" }, model.sentence));
  return [cell("Runs", "word", element("span", { class: "model" }, `${model.model} `), ...version(model.running, model.running_version)), cell("Wants", "word wants", ...wants)];
}

function rest(view, over) {
  const health = view.models.map((m) => m.health).find(Boolean);
  const gap = health?.quality && health?.before ? health.quality.value - health.before.value : null;
  const spread = (name, kind, ...children) => {
    const made = cell(name, kind, ...children);
    if (over > 1) made.setAttribute("rowspan", over);
    return made;
  };
  const soon = view.expires !== null && view.expires - now < SOON;
  return [
    spread("Frames, failed", "", count(view.frames), element("span", { class: "second" }, view.failed === null ? "" : `${count(view.failed)} failed`)),
    spread("p95", "", seconds(view.p95)),
    spread("Quality", "", health?.quality ? health.quality.value.toFixed(3) : "–", element("span", { class: "second" }, gap === null ? "" : worth("quality", gap))),
    spread("Link", "", bits(view.link_rate), element("span", { class: "second" }, view.link_kind)),
    spread("Outbox", "", count(view.outbox), element("span", { class: "second" }, view.outbox && view.outbox_bytes ? bytes(view.outbox_bytes) : "")),
    spread("Budget", `word budget${view.budget ? "" : " none"}`, view.budget || "none"),
    spread("Certificate ends", "", element("span", soon ? { class: "tag", "data-tone": "warn" } : {}, view.expires === null ? "–" : until(view.expires))),
  ];
}

function audit() {
  if (!lines.length) return;
  const day = (time) => new Date(time * 1000).toLocaleString("en-GB", { dateStyle: "short", timeStyle: "medium" });
  const made = lines.slice(0, MOST_LINES).map((line) =>
    element(
      "li",
      { "data-number": line.number },
      element("time", { datetime: new Date(line.at * 1000).toISOString() }, day(line.at)),
      element("b", {}, line.who || "the server"),
      element("span", { class: "tag" }, line.what),
      element("span", {}, [line.subject, line.sentence].filter(Boolean).join(": ")),
    ),
  );
  const host = at("audit");
  if (host.firstElementChild?.dataset.number !== made[0].dataset.number || host.children.length !== made.length) host.replaceChildren(...made);
}

live(
  "/view/nodes/events",
  {
    fleet(view) {
      if (run !== null && run !== view.started) location.reload();
      run = view.started;
      now = view.at;
      const known = new Set(view.nodes);
      for (const [name, node] of nodes) if (!known.has(name)) nodes.delete(name) && node.body.remove();
      const keys = new Set(view.rollouts);
      for (const [key, rollout] of rollouts) if (!keys.has(key)) rollouts.delete(key) && rollout.root.remove();
      changed = true;
    },
    node(view) {
      const node = nodes.get(view.node) ?? { body: element("tbody", { role: "rowgroup" }) };
      nodes.set(view.node, Object.assign(node, { view, stale: true }));
      changed = true;
    },
    rollout(view) {
      if (!rollouts.has(view.key)) {
        const made = new Rollout();
        const next = [...rollouts.keys()].filter((key) => byName(key, view.key) > 0).sort(byName)[0];
        at("rollouts").insertBefore(made.root, next ? rollouts.get(next).root : null);
        rollouts.set(view.key, made);
      }
      rollouts.get(view.key).show(view);
      changed = true;
    },
    audit({ entries }) {
      const newest = lines[0]?.number ?? -1;
      lines = [...entries.filter((line) => line.number > newest), ...lines].slice(0, MOST_LINES);
      changed = true;
    },
  },
  draw,
);

at("find").addEventListener("input", () => {
  changed = true;
  requestAnimationFrame(draw);
});
mark(document.documentElement, "data-view", "nodes");
