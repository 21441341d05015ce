// A rollout's card: where it stands, who tries it, what the guard measured beside each limit, and why it waits.

import { copy, element, mark, reveal, say } from "./elements.js";
import { clock, count, digits, seconds, share, span } from "./format.js";
import { ask } from "./operator.js";

const STAGES = ["canary", "wide", "done"];
export const STEPS = { good: "good", trial: "on trial", ready: "ready", fetching: "fetching", waiting: "not heard of it yet", refused: "refused", reverted: "reverted", failed: "failed" };
const TONES = { canary: "warn", wide: "warn", done: "good", paused: "warn", reverted: "bad" };
const VERDICTS = {
  holds: ["✓ holds", "good"],
  broken: ["✗ broken", "bad"],
  "holds so far": ["holds so far", "good"],
  "broken so far": ["over so far", "warn"],
  unknown: ["not measured yet", ""],
};

export const short = (address) => address.slice(0, 8);

// A value of a guard's subject in the unit in which a person writes its limit.
export function worth(subject, value) {
  if (value === null || value === undefined) return "–";
  if (subject === "p95") return seconds(value);
  if (subject === "failed") return share(value);
  return `${value > 0 ? "+" : value < 0 ? "−" : "±"}${digits(Math.abs(value) * 100, 2)} pt`;
}

export class Rollout {
  constructor() {
    this.parts = copy("rollout");
    this.root = this.parts.card;
    for (const deed of ["pause", "resume", "revert"]) this.parts[deed].addEventListener("click", () => this.#ask(deed));
  }

  show(view) {
    const { parts } = this;
    this.view = view;
    say(parts.channel, view.channel);
    say(parts.model, `${view.model} v${view.version}`);
    say(parts.address, short(view.address));
    mark(parts.address, "title", view.address);
    say(parts.stage, view.stage);
    mark(parts.stage, "data-tone", TONES[view.stage]);
    mark(this.root, "data-stage", view.stage);
    this.#track(view);
    say(parts.why, view.why);
    this.#guard(view.guard);
    this.#steps(view);
    say(parts.about, view.about);
    reveal(parts.about, Boolean(view.about));
    say(parts.began, `Begun by ${view.by} at ${clock(view.began)}; ${share(view.canary)} of the channel first, ${span(view.window)} on trial.`);
    reveal(parts.pause, ["canary", "wide"].includes(view.stage));
    reveal(parts.resume, view.stage === "paused");
    reveal(parts.revert, view.stage !== "reverted");
  }

  #track({ stage, canaries, nodes, steps }) {
    const reached = STAGES.indexOf(stage);
    for (const item of this.parts.track.children) {
      const place = STAGES.indexOf(item.dataset.stage);
      const state = reached < 0 ? "off" : place < reached || stage === "done" ? "past" : place === reached ? "here" : "ahead";
      mark(item, "data-state", state);
      mark(item, "aria-current", state === "here" ? "step" : null);
    }
    const names = canaries.slice(0, 6).join(", ") + (canaries.length > 6 ? ` and ${canaries.length - 6} more` : "");
    say(this.parts.canaries, names || "no node yet");
    say(this.parts.wide, `${count(nodes)} node${nodes === 1 ? "" : "s"}`);
    say(this.parts.done, nodes ? `${count(steps.good ?? 0)} of ${count(nodes)} good` : "");
  }

  #guard(rows) {
    reveal(this.parts.guard.closest("table"), rows.length > 0);
    reveal(this.parts.unguarded, rows.length === 0);
    this.parts.guard.replaceChildren(
      ...rows.map((row) => {
        const [word, tone] = VERDICTS[row.verdict];
        const partly = row.verdict.startsWith("holds") && row.measured < row.of ? ` (${row.measured} of ${row.of})` : "";
        return element(
          "tr",
          { "data-verdict": row.verdict },
          element("th", { scope: "row" }, `${{ quality: "quality", p95: "p95", failed: "failed" }[row.subject]} ${row.above ? ">" : "<"} ${worth(row.subject, row.limit)}`),
          element("td", {}, worth(row.subject, row.value)),
          element("td", { class: "word" }, row.node || "–"),
          element("td", { class: "word" }, element("span", { class: "tag", "data-tone": tone || null }, word + partly)),
        );
      }),
    );
  }

  #steps({ steps, nodes }) {
    const known = Object.values(steps).reduce((a, b) => a + b, 0);
    const all = { ...steps, waiting: Math.max(0, nodes - known) };
    const names = Object.keys(STEPS).filter((name) => all[name]);
    this.parts.bar.replaceChildren(...names.map((name) => {
      const part = element("i", { class: `step-${name}` });
      part.style.flexGrow = String(all[name]);
      return part;
    }));
    this.parts.steps.replaceChildren(...names.map((name) => element("li", {}, element("i", { class: `step-${name}` }), `${STEPS[name]} `, element("b", {}, count(all[name])))));
    if (!names.length) this.parts.steps.replaceChildren(element("li", {}, "No node is on this channel yet."));
  }

  #ask(deed) {
    const { channel, model, version, nodes } = this.view;
    const title = { pause: `Pause ${channel}?`, resume: `Resume ${channel}?`, revert: `Revert ${channel}?` }[deed];
    const sentence = {
      pause: `No further node takes ${model} v${version}; those that run it keep it.`,
      resume: `${model} v${version} goes on from where it was paused, under the same guard.`,
      revert: `Every node of ${channel} that took ${model} v${version} goes back to the version before (${count(nodes)} node${nodes === 1 ? "" : "s"} in the channel).`,
    }[deed];
    const word = deed[0].toUpperCase() + deed.slice(1);
    ask({
      title,
      sentence,
      word,
      tone: deed === "revert" ? "bad" : "",
      path: `/rollouts/${encodeURIComponent(channel)}/${deed}?model=${encodeURIComponent(model)}`,
      done: (said) => say(this.parts.refused, said),
    });
  }
}
