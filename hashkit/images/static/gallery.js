// Makes the pages quicker to use: every view also works by plain links and forms.
"use strict";

const message = document.getElementById("message");
const drop = document.getElementById("drop");

// Search by a picture: chosen or dropped.
async function search(file) {
  message.textContent = `Looking for pictures like ${file.name} …`;
  try {
    const answer = await fetch("/search", {
      method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" },
    });
    if (answer.ok) {
      location.assign((await answer.json()).location);
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    message.textContent = page.querySelector("main .hint")?.textContent ?? "That did not work.";
  } catch {
    message.textContent = "The server does not answer. Is the command still running?";
  }
}

document.getElementById("file").addEventListener("change", (event) => {
  if (event.target.files.length) search(event.target.files[0]);
  event.target.value = "";
});

const hasFiles = (event) => [...event.dataTransfer.types].includes("Files");
window.addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  drop.classList.add("on");
});
window.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("on");
});
window.addEventListener("drop", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  drop.classList.remove("on");
  if (event.dataTransfer.files.length) search(event.dataTransfer.files[0]);
});

// The slider: results follow it, and the address too, so that a page can be returned to.
const radius = document.getElementById("radius");
let latest = 0;
let pause;

async function showWithin(value) {
  const number = ++latest;
  const results = document.getElementById("results");
  results.setAttribute("aria-busy", "true");
  const address = `${location.pathname}?radius=${value}`;
  try {
    const page = new DOMParser().parseFromString(await (await fetch(address)).text(), "text/html");
    const fresh = page.getElementById("results");
    if (number !== latest || !fresh) return;
    results.replaceWith(fresh);
    history.replaceState(null, "", address);
  } catch {
    message.textContent = "The server does not answer. Is the command still running?";
  }
}

radius?.addEventListener("input", () => {
  document.getElementById("radius-value").textContent = radius.value;
  clearTimeout(pause);
  pause = setTimeout(showWithin, 120, radius.value);
});
document.getElementById("slider")?.addEventListener("submit", (event) => event.preventDefault());

// Arrow keys: to the next tile in that direction, over the borders of groups.
function nearestTile(from, key) {
  const start = from.getBoundingClientRect();
  const down = key === "ArrowDown";
  let best = null;
  let least = Infinity;
  for (const tile of document.querySelectorAll("a.tile")) {
    const box = tile.getBoundingClientRect();
    const ahead = down ? box.top - start.top : start.top - box.top;
    if (ahead < start.height / 2) continue;
    const cost = ahead * 4 + Math.abs(box.left - start.left);
    if (cost < least) [best, least] = [tile, cost];
  }
  return best;
}

function move(key) {
  const tiles = [...document.querySelectorAll("a.tile")];
  const current = document.activeElement;
  const place = tiles.indexOf(current);
  if (place < 0) return tiles[0];
  if (key === "ArrowRight") return tiles[place + 1];
  if (key === "ArrowLeft") return tiles[place - 1];
  if (key === "Home") return tiles[0];
  if (key === "End") return tiles[tiles.length - 1];
  return nearestTile(current, key);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input:not([type=file])");
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else if (document.body.dataset.view === "results" || document.body.dataset.view === "") history.back();
  } else if (typing) {
    return;
  } else if (event.key === "/") {
    const filter = document.getElementById("filter");
    if (filter) filter.focus();
    else location.assign("/");
    event.preventDefault();
  } else if (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End") {
    const tile = move(event.key);
    if (!tile) return;
    tile.focus();
    event.preventDefault();
  }
});
