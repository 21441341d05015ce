// A camera's picture with what was answered for it: boxes and occupied cells, drawn on the frame that they were found in.

import { colour, sheet } from "./charts.js";
import { mark } from "./elements.js";
import { tokenOf } from "./fates.js";

const OWN_LABEL = 46; // CSS pixels of width below which a box carries no words

export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.view = null;
    this.bitmap = null;
    this.next = null;
    this.loading = false;
  }

  // Takes a new view; pictures are fetched one at a time and the newest wins.
  async take(view, shown) {
    this.next = view;
    if (this.loading) return;
    this.loading = true;
    while (this.next) {
      const wanted = this.next;
      this.next = null;
      try {
        const response = await fetch(wanted.address);
        if (!response.ok) continue;
        const bitmap = await createImageBitmap(await response.blob());
        this.bitmap?.close();
        [this.bitmap, this.view] = [bitmap, wanted];
        mark(this.canvas, "aria-label", describe(wanted));
        shown();
      } catch {
        mark(this.canvas, "aria-label", `${wanted.node}: the picture could not be read`);
      }
    }
    this.loading = false;
  }

  draw({ boxes, cells }) {
    const { pen, width, height } = sheet(this.canvas);
    if (!this.bitmap) return;
    const scale = Math.min(width / this.bitmap.width, height / this.bitmap.height);
    const [w, h] = [this.bitmap.width * scale, this.bitmap.height * scale];
    pen.translate((width - w) / 2, (height - h) / 2);
    pen.drawImage(this.bitmap, 0, 0, w, h);
    pen.save();
    pen.beginPath();
    pen.rect(0, 0, w, h);
    pen.clip();
    if (cells) drawCells(pen, this.view, w, h);
    if (boxes) drawBoxes(pen, this.view, w, h);
    pen.restore();
  }
}

// Cells are squares of the model's 16:9 picture, so the last row may reach over its edge; other grids fill the picture.
function drawCells(pen, { rows, columns, cells }, w, h) {
  if (!rows) return;
  const bits = unpacked(cells);
  const wide = 1 / columns;
  const tall = rows === Math.ceil((columns * 9) / 16) ? (wide * 16) / 9 : 1 / rows;
  pen.fillStyle = "rgb(255 84 190 / 32%)";
  for (let i = 0; i < rows * columns; i++) {
    if (!bits(i)) continue;
    const [x, y] = [(i % columns) * wide * w, Math.floor(i / columns) * tall * h];
    pen.fillRect(x + 0.5, y + 0.5, wide * w - 1, tall * h - 1);
  }
}

function drawBoxes(pen, { boxes, fate, mode }, w, h) {
  const line = colour(tokenOf(fate, mode));
  pen.lineJoin = "round";
  pen.font = `600 11px ${getComputedStyle(document.body).fontFamily}`;
  for (const [x0, y0, x1, y1] of boxes) {
    const [x, y, wide, tall] = [x0 * w, y0 * h, (x1 - x0) * w, (y1 - y0) * h];
    pen.strokeStyle = "rgb(8 12 17 / 85%)";
    pen.lineWidth = 4;
    pen.strokeRect(x, y, wide, tall);
    pen.strokeStyle = line;
    pen.lineWidth = 2;
    pen.strokeRect(x, y, wide, tall);
  }
  for (const [x0, y0, x1, , score, label] of boxes) {
    if ((x1 - x0) * w < OWN_LABEL) continue;
    const text = `${label} ${Math.round(100 * score)}`;
    const [x, y] = [x0 * w - 1, Math.max(15, y0 * h)];
    const size = pen.measureText(text).width + 8;
    pen.fillStyle = "rgb(8 12 17 / 85%)";
    pen.fillRect(x, y - 15, size, 15);
    pen.fillStyle = "#f2f6fa";
    pen.fillText(text, x + 4, y - 4);
  }
}

// "5 × vehicle, 2 × bus · 41 of 920 cells" – what the picture shows, in words.
export function found({ boxes, more, rows, columns, cells }) {
  const labels = new Map();
  for (const [, , , , , label] of boxes) labels.set(label, (labels.get(label) ?? 0) + 1);
  const words = [...labels].sort((a, b) => b[1] - a[1]).slice(0, 4).map(([label, n]) => `${n} × ${label}`);
  if (more) words.push(`${more} more not drawn`);
  if (!words.length) words.push("nothing found");
  const bits = rows ? unpacked(cells) : () => 0;
  let occupied = 0;
  for (let i = 0; i < rows * columns; i++) occupied += bits(i);
  return words.join(", ") + (rows ? ` · ${occupied} of ${rows * columns} cells` : "");
}

export function describe(view) {
  if (!view.fate) return `${view.node}, frame ${view.frame ?? "unknown"}: no answer known`;
  const how = view.fate === "answered" ? `by ${view.mode}: ${found(view)}` : `${view.fate}: ${view.reason || "no reason given"}`;
  return `${view.node}, frame ${view.frame}, ${view.fate === "answered" ? "answered " : ""}${how}`;
}

// Bits of a base64 text, first bit highest, as numpy packs them.
function unpacked(base64) {
  const raw = atob(base64);
  return (i) => (raw.charCodeAt(i >> 3) >> (7 - (i & 7))) & 1;
}
