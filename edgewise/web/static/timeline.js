// Charts over time that share one axis and one cursor: panels of lines, and strips of shares a second.
//
// Own SVG rather than a library: it keeps the page's policy strict (no inline style), follows the theme by CSS, and is used
// by keyboard – the cursor is a range input, so arrows move through time and what it stands on is read out as text.

import { drawn, element, mark, reveal, say } from "./elements.js";

const HEIGHT = 112;
const MARGIN = { left: 58, right: 10, top: 8, bottom: 18 };
const TOLERANCE = 5; // s: the newest second is closed only a few seconds after it ended
const NEAR = 600; // s
const BREAK = 1.5; // steps without a value that interrupt a line

// A point is a second, or a step of more where it says so (`step`, s).
const step = (point) => point.step ?? 1;

// panels: [{ title, unit: value => text, value: second => number, upper?, limit?, log? }] draw lines, `upper` a faint one;
//         with `far`, another title where the window is longer than NEAR, or null: nothing is known that far back
//         [{ title, parts: second => [n, …], tokens: [token, …], names: […] }] draw a strip of shares for each series.
export class Timeline {
  constructor(host, cursor, output, panels, label) {
    Object.assign(this, { cursor, output, label });
    this.window = 180;
    this.series = []; // [{ slot, name, seconds: [{ at, … }] }]
    this.now = 0;
    this.panels = panels.map((panel) => this.#panel(host, panel));
    cursor.addEventListener("input", () => this.#point());
    host.addEventListener("pointermove", (event) => this.#hover(event));
    new ResizeObserver(() => this.draw()).observe(host);
  }

  #panel(host, panel) {
    const svg = drawn("svg", { class: "panel", role: "img", height: panel.parts ? 40 : HEIGHT });
    const caption = element("figcaption", {}, panel.title);
    const figure = element("figure", { class: "timeline" }, caption, svg);
    host.append(figure);
    return { ...panel, near: panel.title, far: panel.far === undefined ? panel.title : panel.far, figure, caption, svg, hair: null };
  }

  // Draws everything again up to `now`; meant for once a second.
  draw() {
    this.range = [this.now - this.window, this.now];
    for (const panel of this.panels) {
      panel.title = this.window > NEAR ? panel.far : panel.near;
      reveal(panel.figure, panel.title !== null);
      if (panel.title !== null) say(panel.caption, panel.title);
      if (panel.svg.clientWidth) this.#draw(panel);
    }
    mark(this.cursor, "min", -this.window);
    mark(this.cursor, "step", Math.max(1, Math.round(this.window / 720)));
    this.#point();
  }

  #draw(panel) {
    const { svg } = panel;
    const width = svg.clientWidth;
    const height = panel.parts ? MARGIN.top + MARGIN.bottom + Math.max(1, this.series.length) * 22 : HEIGHT;
    mark(svg, "height", height);
    mark(svg, "viewBox", `0 0 ${width} ${height}`);
    panel.x = (at) => MARGIN.left + ((at - this.range[0]) / this.window) * (width - MARGIN.left - MARGIN.right);
    const seen = this.series.map((s) => ({ ...s, seconds: s.seconds.filter((second) => second.at >= this.range[0]) }));
    const body = panel.parts ? this.#shares(panel, seen) : this.#lines(panel, seen, height);
    panel.hair = drawn("line", { class: "hair", y1: MARGIN.top, y2: height - MARGIN.bottom });
    svg.replaceChildren(...this.#times(panel, width, height), ...body, panel.hair);
    mark(svg, "aria-label", `${panel.title}, the last ${long(this.window)}; the cursor below reads out values`);
  }

  #times(panel, width, height) {
    const every = EVERY.find(([window]) => this.window <= window)[1] * (width < 420 && this.window > 60 ? 2 : 1);
    const made = [];
    for (let back = 0; back <= this.window; back += every) {
      const x = panel.x(this.range[1] - back);
      const text = back === 0 ? "now" : `−${long(back)}`;
      made.push(drawn("line", { class: "grid", x1: x, x2: x, y1: MARGIN.top, y2: height - MARGIN.bottom }));
      made.push(drawn("text", { x, y: height - 4, "text-anchor": back === 0 ? "end" : back === this.window ? "start" : "middle" }, text));
    }
    return made;
  }

  #lines(panel, seen, height) {
    const values = seen.flatMap((s) => s.seconds.flatMap((t) => [panel.value(t), panel.upper?.(t), panel.limit?.(t)])).filter(Number.isFinite);
    const { ticks, part } = panel.log ? decades(values) : linear(values);
    const floor = height - MARGIN.bottom;
    const y = (value) => floor - part(value) * (floor - MARGIN.top);
    const made = ticks.flatMap((tick) => [
      drawn("line", { class: "grid", x1: MARGIN.left, x2: panel.x(this.range[1]), y1: y(tick), y2: y(tick) }),
      drawn("text", { x: MARGIN.left - 6, y: y(tick) + 4, "text-anchor": "end" }, panel.unit(tick)),
    ]);
    const limits = panel.limit ? seen.map((s) => this.#path(panel, s.seconds, panel.limit, y)) : [];
    made.push(...[...new Set(limits)].filter(Boolean).map((d) => drawn("path", { class: "limit", d })));
    for (const { slot, seconds } of seen) {
      const upper = panel.upper ? this.#path(panel, seconds, panel.upper, y) : "";
      if (upper) made.push(drawn("path", { class: `series faint s${slot % 8}`, d: upper }));
      const d = this.#path(panel, seconds, panel.value, y);
      if (d) made.push(drawn("path", { class: `series s${slot % 8}`, d }));
    }
    return made;
  }

  #path(panel, seconds, value, y) {
    let [d, last] = ["", -Infinity];
    for (const second of seconds) {
      const here = value(second);
      if (!Number.isFinite(here)) continue;
      const apart = second.at - last > BREAK * step(second);
      d += `${apart ? "M" : "L"}${panel.x(second.at).toFixed(1)} ${y(here).toFixed(1)}`;
      if (apart && step(second) > 1) d += `L${panel.x(second.at + step(second)).toFixed(1)} ${y(here).toFixed(1)}`; // a step alone is seen
      last = second.at;
    }
    return d;
  }

  #shares(panel, seen) {
    const made = [];
    seen.forEach(({ name, seconds }, row) => {
      const [top, tall] = [MARGIN.top + row * 22, 16];
      const short = name.length > 8 ? `${name.slice(0, 7)}…` : name;
      made.push(drawn("text", { x: MARGIN.left - 6, y: top + 12, "text-anchor": "end" }, short));
      // Neighbours of one kind are drawn as one shape, so that ten minutes are a few dozen elements.
      const paths = panel.tokens.map(() => "");
      for (const second of seconds) {
        const parts = panel.parts(second);
        const total = parts.reduce((a, b) => a + b, 0);
        const [x0, x1] = [panel.x(second.at).toFixed(1), (panel.x(Math.min(second.at + step(second), this.range[1])) + 0.2).toFixed(1)];
        let y = top;
        parts.forEach((n, kind) => {
          if (!n) return;
          const next = y + (n / total) * tall;
          paths[kind] += `M${x0} ${y.toFixed(1)}H${x1}V${next.toFixed(1)}H${x0}Z`;
          y = next;
        });
      }
      paths.forEach((d, kind) => d && made.push(drawn("path", { class: `fill-${panel.tokens[kind]}`, d })));
    });
    return made;
  }

  #hover(event) {
    const svg = event.target.closest("svg.panel");
    if (!svg || !this.range) return;
    const box = svg.getBoundingClientRect();
    const part = (event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right);
    this.cursor.value = Math.round((Math.min(1, Math.max(0, part)) - 1) * this.window);
    this.#point();
  }

  // Puts the hair lines where the cursor stands and says what is there.
  #point() {
    const at = Math.floor(this.range[1]) + Number(this.cursor.value);
    for (const panel of this.panels) {
      if (!panel.hair) continue;
      mark(panel.hair, "x1", panel.x(at));
      mark(panel.hair, "x2", panel.x(at));
    }
    const said = this.series.map(({ name, seconds }) => {
      const second = seconds.findLast((s) => s.at <= at && at - s.at < Math.max(TOLERANCE, step(s)));
      return `${name}: ${second ? this.label(second) : "no frames"}`;
    });
    const text = (this.window > NEAR ? [Number(this.cursor.value) ? `−${long(-Number(this.cursor.value))}` : "now", ...said] : said).join("   ·   ");
    say(this.output, text);
    mark(this.cursor, "aria-valuetext", `${this.window > NEAR ? "" : `${Number(this.cursor.value)} s; `}${text}`);
  }
}

// Between two marks of time, by how far back a chart goes (s).
const EVERY = [[60, 15], [180, 30], [600, 120], [21600, 3600], [Infinity, 86400]];

// A span in its largest whole unit, or two of them: 30 s, 2.5 min, 6 h, 1 h 12 min, 7 days.
function long(time) {
  if (time < 60) return `${time} s`;
  if (time < 3600) return `${time / 60 === Math.round(time / 30) / 2 ? time / 60 : Math.round(time / 60)} min`;
  if (time < 86400) return `${Math.floor(time / 3600)} h${time % 3600 >= 60 ? ` ${Math.floor((time % 3600) / 60)} min` : ""}`;
  const [days, hours] = [Math.floor(time / 86400), Math.round((time % 86400) / 3600)];
  return `${days} day${days === 1 ? "" : "s"}${hours ? ` ${hours} h` : ""}`;
}

// A scale: where its ticks are, and the part of the height (0 to 1) at which a value lies.
function linear(values) {
  const top = nice(Math.max(...values, 0) * 1.05);
  return { ticks: [0, top / 2, top], part: (value) => value / top };
}

// By powers of ten, for what goes from a trickle to a flood; a tick for each, or each second one where there are many.
function decades(values) {
  const known = values.filter((value) => value > 0);
  if (!known.length) return linear([]);
  const [low, high] = [Math.floor(Math.log10(Math.min(...known))), Math.ceil(Math.log10(Math.max(...known)) + 1e-9)];
  const step = Math.ceil(Math.max(1, high - low) / 4);
  const ticks = [];
  for (let power = low; power <= high; power += step) ticks.push(10 ** power);
  return { ticks, part: (value) => Math.max(0, (Math.log10(Math.max(value, 1e-12)) - low) / Math.max(1, high - low)) };
}

// The next 1, 2 or 5 times a power of ten, so that the middle of an axis is a plain number as well.
function nice(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 8, 10].map((step) => step * power).find((step) => step >= value);
}
