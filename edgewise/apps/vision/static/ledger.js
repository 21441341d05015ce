// The books: the sum of a device or of all, and the table by device and mode.

import { element, mark, say } from "./elements.js";
import { bytes, count, joules, seconds } from "./format.js";

const MORE = [
  ["open", "under way"],
  ["coming", "on their way here"],
  ["lost", "of which the record was lost"],
  ["before", "told to an earlier server"],
  ["missing", "missing"],
];

const sum = (reasons) => Object.values(reasons).reduce((a, b) => a + b, 0);

// Writes "1,204 sent = 1,180 answered + 20 dropped (superseded 12, expired 8) + 4 failed (deadline 4)   ✓ adds up".
// The server checks both sides against each other (books.py); the terms here are its own and add up to the frame.
export function account(host, { counts, total, sent, ...more }) {
  const terms = [
    ["", sent ?? total, sent === null ? "accounted for" : "sent", ""],
    ["=", counts.answered, "answered", ""],
    ["+", sum(counts.dropped), "dropped", listed(counts.dropped)],
    ["+", sum(counts.failed), "failed", listed(counts.failed)],
  ];
  for (const [name, word] of MORE) if (more[name]) terms.push(["+", more[name], word, ""]);
  for (const [n, word] of beside(counts)) if (n) terms.push(["·", n, word, ""]);
  while (host.children.length > terms.length + 1) host.firstElementChild.remove();
  while (host.children.length < terms.length + 1) host.prepend(term());
  terms.forEach(([sign, n, word, why], i) => {
    const [before, number, after] = host.children[i].childNodes;
    say(before, sign && `${sign} `);
    say(number, count(n));
    say(after, ` ${word}${why && ` (${why})`}`);
  });
  const end = host.lastElementChild;
  mark(end, "class", "verdict");
  const off = more.missing > 0 || more.excess > 0;
  mark(end, "data-verdict", sent === null ? "untold" : off ? "off" : "balanced");
  say(end, sent === null ? "sent not known yet" : off ? wrong(more) : "✓ adds up");
}

// What stands beside the sum: what the filter is known to miss, and frames that went with fewer layers than they had.
function beside({ tried, missed, cut, guarded }) {
  return [
    [tried, `tried though the filter saw nothing: it missed ${count(missed)}`],
    [cut, "cut for the link"],
    [guarded, "cut by their bound of bytes"],
  ];
}

function wrong({ missing, excess }) {
  return missing ? `✗ ${count(missing)} unaccounted for` : `✗ ${count(excess)} more than were sent`;
}

function term() {
  const made = element("span");
  made.append("", element("b"), "");
  return made;
}

function listed(reasons) {
  return Object.entries(reasons)
    .map(([reason, n]) => `${reason} ${count(n)}`)
    .join(", ");
}

// The rows of the whole run, and their sums.
export function table(body, foot, rows) {
  if (!rows.length) return;
  const named = rows.map((row, i) => {
    const first = rows[i - 1]?.slot !== row.slot;
    const alike = rows.filter(({ slot }) => slot === row.slot).length;
    return line(row, first && element("th", { scope: "rowgroup", rowspan: alike, title: row.node }, row.node));
  });
  body.replaceChildren(...named);
  const total = (name) => rows.reduce((all, row) => all + row[name], 0);
  const whole = Object.fromEntries(["answered", "late", "dropped", "failed", "bytes_up", "energy"].map((name) => [name, total(name)]));
  const kinds = new Set(rows.map((row) => row.provenance));
  const provenance = kinds.size === 1 ? rows[0].provenance : "mixed";
  foot.replaceChildren(line({ ...whole, provenance, mode: "all", latency_p50: null, latency_p95: null }, element("th", { scope: "row" }, "Sum")));
}

function line(row, head) {
  const frames = row.answered + row.dropped + row.failed;
  const number = (text) => element("td", {}, text);
  const mode = element("span", { class: "mode", "data-mode": row.mode }, row.mode);
  return element(
    "tr",
    {},
    head || null,
    element("td", { class: "word" }, mode),
    ...[frames, row.answered, row.late, row.dropped, row.failed].map((n) => number(count(n))),
    number(seconds(row.latency_p50)),
    number(seconds(row.latency_p95)),
    number(bytes(row.bytes_up / frames)),
    number(joules(row.energy / frames)),
    element("td", { class: "word" }, element("span", { class: "from", "data-from": row.provenance }, row.provenance)),
  );
}
