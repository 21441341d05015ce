// Small live charts on canvas: one bar a frame, and one line of values. They read their colours from the theme's tokens.
//
// A canvas, since a card draws ten times a second and a hundred bars as elements would cost more than the rest of the page;
// what it shows is said in words beside it.

import { onTheme } from "./shell.js";

const colours = new Map();
const probe = document.createElement("i");
probe.hidden = true;
document.body.append(probe);
onTheme(() => colours.clear());

// The theme's colour by its token, as a canvas wants it: colour("split"). The probe resolves what differs by light and dark.
export function colour(token) {
  if (!colours.has(token)) {
    probe.style.color = `var(--${token})`;
    colours.set(token, getComputedStyle(probe).color);
  }
  return colours.get(token);
}

// A canvas at the screen's own resolution, cleared; drawing is in CSS pixels.
export function sheet(canvas) {
  const [width, height, ratio] = [canvas.clientWidth, canvas.clientHeight, devicePixelRatio || 1];
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

// One bar a frame, newest at the right: as high as its latency, in the colour of its fate, against the deadline.
//   frames: [[latency in s, index into fates], …]; fates: [{ token, kind: "bar" | "tick" | "cross" }, …]
export function strip(canvas, frames, fates, deadline, slots = 96) {
  const { pen, width, height } = sheet(canvas);
  const floor = height - 1;
  const tallest = Math.max(...frames.map(([latency]) => latency ?? 0), 1e-3);
  // With a deadline the scale stands still, and what is far over it is cut at the top.
  const top = deadline ? Math.max(deadline * 1.35, Math.min(tallest * 1.05, deadline * 2)) : tallest * 1.15;
  const step = width / slots;
  const bar = Math.max(1, Math.round(step * 0.68));
  const y = (value) => floor - Math.min(1, value / top) * (floor - 3);
  if (deadline) {
    pen.fillStyle = colour("bad-tint");
    pen.fillRect(0, 0, width, y(deadline));
  }
  frames.forEach(([latency, fate], i) => {
    const { token, kind } = fates[fate];
    const x = Math.round(width - (frames.length - i) * step);
    pen.fillStyle = colour(token);
    if (kind === "bar") pen.fillRect(x, y(latency), bar, floor - y(latency));
    else if (kind === "tick") pen.fillRect(x, floor - 4, bar, 4);
    else {
      pen.globalAlpha = 0.35;
      pen.fillRect(x, 2, bar, floor - 2);
      pen.globalAlpha = 1;
      pen.fillRect(x, 2, bar, 6);
    }
  });
  pen.fillStyle = colour("line");
  pen.fillRect(0, floor, width, 1);
  if (!deadline) return;
  pen.strokeStyle = colour("bad");
  pen.setLineDash([4, 3]);
  pen.beginPath();
  pen.moveTo(0, Math.round(y(deadline)) + 0.5);
  pen.lineTo(width, Math.round(y(deadline)) + 0.5);
  pen.stroke();
  pen.setLineDash([]);
}

// A line of values from 0 to their greatest, newest at the right; null breaks it.
export function spark(canvas, values, token, slots = 60) {
  const { pen, width, height } = sheet(canvas);
  const known = values.filter((value) => value !== null);
  if (!known.length) return;
  const top = Math.max(...known) * 1.1 || 1;
  const step = width / Math.max(1, slots - 1);
  const at = (i) => [width - 1.5 - (values.length - 1 - i) * step, height - 2 - (values[i] / top) * (height - 5)];
  pen.lineWidth = 1.5;
  pen.lineJoin = "round";
  pen.strokeStyle = colour(token);
  pen.beginPath();
  let drawing = false;
  values.forEach((value, i) => {
    if (value !== null) pen[drawing ? "lineTo" : "moveTo"](...at(i));
    drawing = value !== null;
  });
  pen.stroke();
  if (values.at(-1) !== null) {
    pen.fillStyle = colour(token);
    pen.beginPath();
    pen.arc(...at(values.length - 1), 2, 0, 7);
    pen.fill();
  }
}
