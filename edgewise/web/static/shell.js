// The shell of a page: the live stream with pause, the theme, and one drawing a frame however many events come.
//
// The server sends states ("node", "server" …) and a fresh stream begins with all of them, so pausing is closing the
// stream and going on is opening a new one: nothing has to be caught up, and a paused page costs the server nothing.

import { clock, digits } from "./format.js";
import { mark, say } from "./elements.js";

const THEMES = ["system", "light", "dark"];

// Tells `handlers[kind](payload)` of each event and calls `draw()` at most once a frame while the page can be seen.
export function live(address, handlers, draw) {
  const pause = document.getElementById("pause");
  let source = null;
  let paused = false;
  let lost = 0;
  let events = 0;
  let due = false;

  function request() {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      draw();
    });
  }

  function open() {
    state("connecting", "connecting");
    source = new EventSource(address);
    source.onopen = () => {
      lost = 0;
      state("live", "live");
      handlers.opened?.();
    };
    source.onerror = () => {
      state("lost", "server not reached, trying again");
      // A refusal (503) ends an EventSource for good; a broken line does not.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => paused || reopen(), 2000);
    };
    source.addEventListener("stream", (event) => {
      lost = JSON.parse(event.data).lost;
    });
    for (const [kind, handle] of Object.entries(handlers)) {
      if (kind === "opened") continue;
      source.addEventListener(kind, (event) => {
        events += 1;
        handle(JSON.parse(event.data));
        request();
      });
    }
  }

  function reopen() {
    source?.close();
    open();
  }

  pause.addEventListener("click", () => {
    paused = !paused;
    mark(pause, "aria-pressed", paused);
    say(pause, paused ? "Resume" : "Pause");
    if (paused) {
      source.close();
      state("paused", `paused at ${clock(Date.now() / 1000)}`);
    } else reopen();
  });
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => event.persisted && !paused && reopen());

  setInterval(() => {
    const said = paused || !events ? "" : `${digits(events / 2, 2)} updates/s${lost ? ` · ${lost} lost, browser too slow` : ""}`;
    say(document.getElementById("pulse-rate"), said);
    events = 0;
  }, 2000);
  onTheme(request);
  open();
}

function state(name, sentence) {
  mark(document.getElementById("pulse"), "data-state", name);
  say(document.getElementById("pulse-said"), sentence);
}

const listeners = new Set();

// Calls back when colours change, by the button or by the system.
export const onTheme = (listener) => listeners.add(listener);

function themes() {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const show = () => say(button, `Theme: ${root.dataset.theme ?? "system"}`);
  const tell = () => listeners.forEach((listener) => listener());
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "system") + 1) % THEMES.length];
    if (next === "system") delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      localStorage.setItem("theme", next);
    } catch {
      // Not kept then; it holds until the page is left.
    }
    show();
    tell();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
  show();
}

themes();
