// The sums over all devices at the top, the edge server's own state, and the notes on links.

import { element, mark, reveal, say } from "./elements.js";
import { bytes, count, digits, joules, seconds, share, span, watts } from "./format.js";
import { account } from "./ledger.js";

const at = (id) => document.getElementById(id);

const EMULATIONS = {
  virtual: "virtual: delays are computed, nothing waits",
  proxy: "proxy: a TCP relay that holds bytes back; TCP ends at the proxy, which flatters large transfers",
  tun: "tun: packets through a kernel device, with loss and delay",
  none: "none: the network as it is, not shaped",
  real: "real: the network as it is, not shaped",
};

export function server(view) {
  const { figures: now, status } = view;
  say(at("sum-devices"), `${view.connected} of ${view.devices}`);
  say(at("sum-latency"), `${seconds(now.latency_p50)} · ${seconds(now.latency_p95)}`);
  const { answered, late } = view.accounts.counts;
  say(at("sum-late"), share(answered ? late / answered : null));
  say(at("sum-bytes"), `${bytes(now.bytes_second)}/s`);
  say(at("sum-energy"), now.energy_frame === null ? "–" : `${joules(now.energy_frame)} · ${watts(now.power)}`);
  say(at("sum-from"), now.energy_frame === null ? "" : now.provenance);
  mark(at("sum-from"), "data-from", now.provenance);
  say(at("sum-queue"), status ? `${count(status.queue)} · ${digits(status.batch_mean, 2)}` : "–");
  account(at("sum-accounts"), view.accounts);
  links(view);
  if (status) machine(status);
}

function links({ link_kinds: kinds, unshown, previews_refused: refused }) {
  const words = kinds.map((kind) => EMULATIONS[kind] ?? kind);
  say(at("note-link"), words.length ? `Link emulation of this run – ${words.join("; ")}.` : "The devices have not said what link they use.");
  const shaped = kinds.length > 0 && kinds.every((kind) => ["virtual", "proxy", "tun"].includes(kind));
  say(at("note-previews"), shaped ? "Preview pictures travel outside the shaped link and are not counted in any figure of this page."
    : "Preview pictures share the link with the frames where it is not shaped; they are not counted in any figure of this page.");
  const missing = [];
  if (unshown) missing.push(`${count(unshown)} records of further devices are not shown`);
  if (refused) missing.push(`${count(refused)} preview pictures were refused because they were none`);
  say(at("note-unshown"), missing.length ? `${missing.join("; ")}.` : "");
  reveal(at("note-unshown"), missing.length > 0);
}

function machine(status) {
  say(at("server-queue"), count(status.queue));
  const most = status.batch_most === null ? "" : ` of ${status.batch_most}`;
  say(at("server-batch"), digits(status.batch_mean) + most);
  say(at("server-times"), `${seconds(status.wait)} · ${seconds(status.tail)}`);
  say(at("server-busy"), share(status.busy));
  say(at("server-machine"), `${share(status.cpu)} · ${bytes(status.memory)}`);
  say(at("server-uptime"), span(status.uptime));
  list(at("models"), status.models.map((m) => [`${m.name} ${m.address.slice(0, 8)}`, `${count(m.streams)} stream${m.streams === 1 ? "" : "s"} · ${count(m.answered)} answered`]), "None.");
  list(at("refused"), Object.entries(status.refused).map(([what, n]) => [what, count(n)]), "Nothing.");
}

function list(host, rows, none) {
  const items = rows.map(([left, right]) => element("li", {}, element("span", {}, left), element("span", {}, right)));
  host.replaceChildren(...(items.length ? items : [element("li", { class: "quiet" }, none)]));
}
