// What the server learns from its devices: how well the version in use agrees with the teacher, what that costs both ways, what happened.

import { spark } from "./charts.js";
import { element, reveal, say } from "./elements.js";
import { bytes, clock, count, seconds, share } from "./format.js";

const at = (id) => document.getElementById(id);
const SHOWN = 8;
let last = null;

export function adapting(view) {
  last = view;
  reveal(at("adapting"), true);
  const { standing: now, wanted } = view;
  say(at("adapting-title"), `Adapting ${view.model}`);
  say(at("adapting-state"), view.ended ? "ended" : now ? now.state : "begins");
  say(at("adapting-teacher"), view.teacher ? `taught by ${view.teacher}` : "");
  reveal(at("adapting-ended"), Boolean(view.ended));
  say(at("adapting-ended"), view.ended);
  say(at("adapting-agreement"), now ? share(now.agreement) : "–");
  say(at("adapting-source"), now && now.source !== null ? `the source: ${share(now.source)}` : "too few audits yet");
  say(at("adapting-uploads"), now ? `${count(now.uploads)} · ${share(now.frames ? now.uploads / now.frames : null)}` : "–");
  say(at("adapting-wanted"), told(wanted));
  say(at("adapting-bytes"), now ? `${bytes(now.bytes_up)} · ${bytes(now.bytes_down)}` : "–");
  say(at("adapting-waiting"), `${count(view.waiting)} samples wait; CPU ${seconds(view.seconds)}`);
  say(at("adapting-version"), now ? `${now.version || "the source"} · ${count(now.reverts)}` : "–");
  say(at("adapting-steps"), now ? `${count(now.accepted)} steps proved, ${count(now.rejected)} thrown away` : "");
  const refused = now ? Object.entries(now.refused).map(([why, n]) => `${why} ${count(n)}`) : [];
  say(at("adapting-refused"), refused.length ? `Left out: ${refused.join(", ")}.` : "");
  events(view.marks);
}

// The lines over the last hour; called when the page draws.
export function drawAdapting() {
  if (!last) return;
  const { moments } = last;
  const slots = Math.max(60, moments.length);
  const line = (id, values, token) => spark(at(id), values, token, slots);
  line("adapting-line-agreement", moments.map((m) => m.agreement), "accent");
  line("adapting-line-uploads", differences(moments.map((m) => m.uploads)), "image");
  line("adapting-line-bytes", differences(moments.map((m) => m.bytes_up)), "split");
  line("adapting-line-version", moments.map((m) => m.version), "local");
}

const differences = (values) => values.slice(1).map((value, i) => Math.max(0, value - values[i]));

function told(wanted) {
  if (!wanted) return "nothing is wanted";
  const parts = [`audits ${share(wanted.audit)}`];
  if (wanted.samples) parts.push(`${wanted.selection}, ${bytes(wanted.bytes)}/s at most`);
  if (wanted.cascade) parts.push(`cascade ${share(wanted.cascade)}`);
  return parts.join(", ");
}

function events(marks) {
  const rows = marks.slice(0, SHOWN).map(({ at: when, what, why }) => element("li", {}, element("span", {}, `${clock(when)} ${what}`), element("span", {}, why)));
  at("adapting-events").replaceChildren(...(rows.length ? rows : [element("li", { class: "quiet" }, "Nothing yet.")]));
}
