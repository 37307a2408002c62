// The map: every picture a point on a canvas, written pixel by pixel, so that 100,000 are drawn in milliseconds.
"use strict";

const holder = document.getElementById("map");
const plane = document.getElementById("plane");
const under = document.getElementById("under");
const SIDE = 65535;  // places go from 0 to this
const CELL = 64;  // the plane is cut into CELL x CELL for finding what is under the pointer
const WAIT_MILLISECONDS = 1500;
const dark = matchMedia("(prefers-color-scheme: dark)");
let points = null;  // { ids, places, clusters, cells }
let view = { scale: 1, x: 0, y: 0 };  // x, y: the place at the left and top edge, 0 to 1

async function load() {
  const answer = await fetch("/map.bin");
  if (answer.status === 202) {
    setTimeout(load, WAIT_MILLISECONDS);
    return;
  }
  const data = await answer.arrayBuffer();
  const n = data.byteLength / 9;
  points = {
    ids: new Uint32Array(data, 0, n),
    places: new Uint16Array(data, 4 * n, 2 * n),
    clusters: new Uint8Array(data, 8 * n, n),
  };
  points.cells = Array.from({ length: CELL * CELL }, () => []);
  for (let i = 0; i < n; i++) points.cells[cellOf(points.places[2 * i], points.places[2 * i + 1])].push(i);
  holder.hidden = false;
  fit();
}

const cellOf = (x, y) => Math.floor(y / SIDE * (CELL - 0.001)) * CELL + Math.floor(x / SIDE * (CELL - 0.001));

function fit() {
  const ratio = window.devicePixelRatio || 1;
  plane.width = Math.round(plane.clientWidth * ratio);
  plane.height = Math.round(plane.clientHeight * ratio);
  draw();
}

// A color for each cluster: hues by the golden angle, so that neighbors in number differ.
function colors() {
  const lightness = dark.matches ? 0.68 : 0.42;
  return Array.from({ length: 256 }, (_, cluster) => {
    const hue = cluster * 137.508 / 60 % 6;
    const chroma = (1 - Math.abs(2 * lightness - 1)) * 0.75;
    const second = chroma * (1 - Math.abs(hue % 2 - 1));
    const parts = [[chroma, second, 0], [second, chroma, 0], [0, chroma, second], [0, second, chroma], [second, 0, chroma], [chroma, 0, second]][Math.floor(hue)];
    const [r, g, b] = parts.map((part) => Math.round(255 * (part + lightness - chroma / 2)));
    return (255 << 24 | b << 16 | g << 8 | r) >>> 0;
  });
}

function draw() {
  if (!points || !plane.width) return;
  const { width, height } = plane;
  const context = plane.getContext("2d");
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const color = colors();
  const size = Math.max(2, Math.min(9, Math.round(1.6 * Math.sqrt(view.scale) * width / 900 * (points.ids.length < 5000 ? 2 : 1))));
  for (let i = 0; i < points.ids.length; i++) {
    const left = Math.round((points.places[2 * i] / SIDE - view.x) * view.scale * (width - size));
    const top = Math.round((points.places[2 * i + 1] / SIDE - view.y) * view.scale * (height - size));
    if (left < 0 || top < 0 || left + size > width || top + size > height) continue;
    for (let row = 0; row < size; row++) {
      const start = (top + row) * width + left;
      pixels.fill(color[points.clusters[i]], start, start + size);
    }
  }
  context.putImageData(image, 0, 0);
}

let planned = 0;
function plan() {
  cancelAnimationFrame(planned);
  planned = requestAnimationFrame(draw);
}

function placeAt(event) {
  const box = plane.getBoundingClientRect();
  return [view.x + (event.clientX - box.left) / box.width / view.scale, view.y + (event.clientY - box.top) / box.height / view.scale];
}

// The nearest point within 12 pixels of the pointer.
function pointAt(event) {
  const [x, y] = placeAt(event).map((value) => value * SIDE);
  const reach = 12 / plane.clientWidth / view.scale * SIDE;
  let best = -1;
  let least = reach * reach;
  const first = (value) => Math.max(0, Math.floor((value - reach) / SIDE * CELL));
  const last = (value) => Math.min(CELL - 1, Math.floor((value + reach) / SIDE * CELL));
  for (let row = first(y); row <= last(y); row++) {
    for (let column = first(x); column <= last(x); column++) {
      for (const i of points.cells[row * CELL + column]) {
        const away = (points.places[2 * i] - x) ** 2 + (points.places[2 * i + 1] - y) ** 2;
        if (away < least) [best, least] = [i, away];
      }
    }
  }
  return best;
}

function keepInside() {
  const most = 1 - 1 / view.scale;
  view.x = Math.max(0, Math.min(most, view.x));
  view.y = Math.max(0, Math.min(most, view.y));
}

plane.addEventListener("wheel", (event) => {
  event.preventDefault();
  const [x, y] = placeAt(event);
  const scale = Math.max(1, Math.min(60, view.scale * Math.exp(-event.deltaY / 400)));
  view.x = x - (x - view.x) * view.scale / scale;
  view.y = y - (y - view.y) * view.scale / scale;
  view.scale = scale;
  keepInside();
  plan();
}, { passive: false });

let drag = null;
plane.addEventListener("pointerdown", (event) => {
  drag = { x: event.clientX, y: event.clientY, moved: false };
  plane.setPointerCapture(event.pointerId);
});
plane.addEventListener("pointermove", (event) => {
  if (!points) return;
  if (drag && event.buttons) {
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (Math.abs(dx) + Math.abs(dy) > 3) drag.moved = true;
    view.x -= dx / plane.clientWidth / view.scale;
    view.y -= dy / plane.clientHeight / view.scale;
    [drag.x, drag.y] = [event.clientX, event.clientY];
    keepInside();
    plan();
    return;
  }
  const i = pointAt(event);
  under.hidden = i < 0;
  if (i < 0) return;
  const source = `/thumbnails/${points.ids[i]}`;
  const picture = under.querySelector("img");
  if (picture.getAttribute("src") !== source) picture.src = source;
  under.href = `/neighbors/${points.ids[i]}`;
});
plane.addEventListener("pointerup", (event) => {
  const click = drag && !drag.moved;
  drag = null;
  const i = click ? pointAt(event) : -1;
  if (i >= 0) location.assign(`/neighbors/${points.ids[i]}`);
});
document.getElementById("whole").addEventListener("click", () => {
  view = { scale: 1, x: 0, y: 0 };
  plan();
});
window.addEventListener("resize", fit);
dark.addEventListener("change", plan);
load();
