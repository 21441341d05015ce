// Figures for people. Values come in SI units without prefix; what is unknown is a dash, never a zero.

export const UNKNOWN = "–";

const known = (value) => typeof value === "number" && Number.isFinite(value);

// Three significant digits, and thousands set apart: 0.42, 41.3, 1,204.
export function digits(value, most = 3) {
  if (!known(value)) return UNKNOWN;
  if (value === 0) return "0";
  const before = Math.floor(Math.log10(Math.abs(value))) + 1;
  return value.toLocaleString("en-GB", { maximumFractionDigits: Math.min(20, Math.max(0, most - before)) });
}

function prefixed(value, unit, steps) {
  if (!known(value)) return UNKNOWN;
  const size = Math.abs(value);
  const [factor, prefix] = steps.find(([from]) => size >= from) ?? steps.at(-1);
  return `${digits(value / factor)} ${prefix}${unit}`;
}

const LARGE = [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]];
const SMALL = [[1, ""], [1e-3, "m"], [1e-6, "µ"]];

export const count = (n) => (known(n) ? n.toLocaleString("en-GB") : UNKNOWN);
export const bits = (rate) => prefixed(rate, "bit/s", LARGE);
export const bytes = (n, unit = "B") => prefixed(n, unit, LARGE);
export const joules = (energy) => (energy === 0 ? "0 J" : prefixed(energy, "J", SMALL));
export const watts = (power) => (power === 0 ? "0 W" : prefixed(power, "W", SMALL));
export const share = (part) => (known(part) ? `${digits(100 * part, part > 0 && part < 0.01 ? 1 : 2)} %` : UNKNOWN);

export function seconds(time) {
  if (!known(time)) return UNKNOWN;
  // Tenths only below 10 ms: more digits would flicker and say nothing.
  return time < 1 ? `${digits(time * 1e3, time < 0.001 ? 1 : time < 0.1 ? 2 : 3)} ms` : `${digits(time)} s`;
}

// How long ago, in words that do not change ten times a second.
export function ago(age) {
  if (!known(age)) return UNKNOWN;
  if (age < 1.5) return "now";
  if (age < 90) return `${Math.round(age)} s ago`;
  return age < 5400 ? `${Math.round(age / 60)} min ago` : `${Math.round(age / 3600)} h ago`;
}

export function span(time) {
  if (!known(time)) return UNKNOWN;
  const [h, m, s] = [Math.floor(time / 3600), Math.floor(time / 60) % 60, Math.floor(time) % 60];
  return h ? `${h} h ${m} min` : m ? `${m} min ${s} s` : `${s} s`;
}

export const clock = (epoch) => new Date(epoch * 1000).toLocaleTimeString("en-GB");
