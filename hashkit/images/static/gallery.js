// Makes the pages quicker to use: every view also works by plain links and forms.
"use strict";

const message = document.getElementById("message");
const drop = document.getElementById("drop");

// What the server's error pages say.
async function complaint(answer) {
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return page.querySelector("main .hint")?.textContent ?? "That did not work.";
}

// Search by pictures: chosen, dropped or pasted. Of several, each is searched by, and a page links to all.
async function search(files) {
  let place = "";
  for (const [number, file] of files.entries()) {
    const which = files.length > 1 ? ` (${number + 1} of ${files.length})` : "";
    message.textContent = `Looking for pictures like ${file.name}${which} …`;
    try {
      const answer = await fetch("/search", {
        method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" },
      });
      if (answer.ok) {
        place = (await answer.json()).location;
      } else {
        message.textContent = `${file.name}: ${await complaint(answer)}`;
        if (files.length === 1) return;
      }
    } catch {
      message.textContent = "The server does not answer. Is the command still running?";
      return;
    }
  }
  if (place) location.assign(files.length > 1 ? "/searches" : place);
}

document.getElementById("file").addEventListener("change", (event) => {
  if (event.target.files.length) search([...event.target.files]);
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
  if (event.dataTransfer.files.length) search([...event.dataTransfer.files]);
});
window.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (!files.length) return;
  event.preventDefault();
  search(files);
});

// The page after a back or forward step starts without the message of what was left.
window.addEventListener("pageshow", () => {
  message.textContent = "";
  for (const field of document.querySelectorAll(".filter :disabled")) field.disabled = false;
});

// The slider: results follow it, and the address too, so that a page can be returned to.
const range = document.getElementById("range");
let latest = 0;
let pause;

async function showFor(value) {
  const number = ++latest;
  const results = document.getElementById("results");
  results.setAttribute("aria-busy", "true");
  const query = new URLSearchParams(new FormData(range.form));
  query.set(range.name, value);
  const address = `${location.pathname}?${query}`;
  try {
    const page = new DOMParser().parseFromString(await (await fetch(address)).text(), "text/html");
    const fresh = page.getElementById("results");
    if (number !== latest) return;
    if (!fresh) {  // it is still being computed: the page that says so leads on
      location.replace(address);
      return;
    }
    results.replaceWith(fresh);
    history.replaceState(null, "", address);
    document.dispatchEvent(new Event("results"));
  } catch {
    message.textContent = "The server does not answer. Is the command still running?";
  }
}

range?.addEventListener("input", () => {
  document.getElementById("range-value").textContent = range.value;
  clearTimeout(pause);
  pause = setTimeout(showFor, 120, range.value);
});
document.getElementById("slider")?.addEventListener("submit", (event) => event.preventDefault());

// What is empty or as usual is left out of the address.
document.querySelector(".filter")?.addEventListener("submit", (event) => {
  for (const field of event.target.querySelectorAll("input[name], select")) {
    field.disabled = field.value === "" || field.value === "name";
  }
});

// Sorting takes effect at once.
document.getElementById("sort")?.addEventListener("change", (event) => event.target.form.requestSubmit());

// Load more: the next page's pictures or groups come after these, and its pager instead of this one.
document.addEventListener("click", async (event) => {
  const next = event.target.closest("a[data-more]");
  if (!next) return;
  event.preventDefault();
  if (next.getAttribute("aria-busy")) return;
  next.setAttribute("aria-busy", "true");
  try {
    const page = new DOMParser().parseFromString(await (await fetch(next.href)).text(), "text/html");
    if (!next.isConnected) return;  // the slider was moved meanwhile
    const listOf = (whole) => whole.querySelector("#pages .groups, #pages .grid");
    const fresh = [...listOf(page).children];
    listOf(document).append(...fresh);
    document.querySelector("#pages .pager").replaceWith(page.querySelector("#pages .pager"));
    document.dispatchEvent(new Event("results"));
    fresh[0]?.querySelector("a")?.focus();
  } catch {
    next.removeAttribute("aria-busy");
    message.textContent = "The server does not answer. Is the command still running?";
  }
});

function offerMore() {
  const next = document.querySelector("#pages a[rel=next]");
  if (!next || document.querySelector("a[data-more]")) return;
  const more = document.createElement("a");
  more.className = "button";
  more.href = next.href;
  more.dataset.more = "";
  more.textContent = "Load more";
  next.after(more);
}
offerMore();
document.addEventListener("results", offerMore);

// Tile size, remembered by the browser.
const size = document.getElementById("tile-size");
function resize(pixels) {
  document.documentElement.style.setProperty("--tile", `${pixels}px`);
}
if (size) {
  size.value = localStorage.getItem("tile") ?? size.value;
  if (localStorage.getItem("tile")) resize(size.value);
  size.parentElement.hidden = false;
  size.addEventListener("input", () => {
    resize(size.value);
    localStorage.setItem("tile", size.value);
  });
}

// Has the index changed meanwhile?
async function lookForChanges() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/changed");
    document.getElementById("changed").hidden = !(await answer.json()).changed;
  } catch {
    return;  // the server has ended: the next click tells
  }
}
setInterval(lookForChanges, 20_000);
document.addEventListener("visibilitychange", lookForChanges);

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
  if (document.getElementById("lightbox").open) return;
  const typing = event.target.matches("input:not([type=file], [type=checkbox]), select");
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
