// A closer look at a picture in the page: whole or at 100 %, beside another one, or in turn with it.
"use strict";

const lightbox = document.getElementById("lightbox");
const shown = document.getElementById("shown");
const beside = document.getElementById("beside");
const stage = lightbox.querySelector(".stage");
const FLICKER_MILLISECONDS = 600;
let looking = null;  // the tile that is shown
let flicker = null;

const pictures = () => [...document.querySelectorAll("main a.tile[data-large]")];
const button = (name) => lightbox.querySelector(`[data-do=${name}]`);
const isOn = (name) => button(name).getAttribute("aria-pressed") === "true";
const setOn = (name, on) => button(name).setAttribute("aria-pressed", String(on));

// What a picture is compared with: the one that was searched by, or the first of its group.
function partner(tile) {
  const first = tile.closest(".group")?.querySelector("a.tile") ?? document.getElementById("asked");
  return first === tile ? null : first;
}

const nameOf = (tile) => tile.dataset.name ?? tile.title;

function draw() {
  const other = partner(looking);
  const source = isOn("full") ? looking.dataset.full : looking.dataset.large;
  if (shown.getAttribute("src") !== source) shown.src = source;
  shown.alt = nameOf(looking);
  const comparing = other && (isOn("side") || isOn("flicker"));
  if (comparing) {
    beside.src = isOn("full") ? other.dataset.full : other.dataset.large;
    beside.alt = nameOf(other);
  }
  shown.hidden = false;
  beside.hidden = !(comparing && isOn("side"));
  stage.classList.toggle("full", isOn("full"));
  stage.classList.toggle("flickering", Boolean(comparing && isOn("flicker")));
  clearInterval(flicker);
  if (comparing && isOn("flicker")) {
    flicker = setInterval(() => { [shown.hidden, beside.hidden] = [!shown.hidden, shown.hidden]; }, FLICKER_MILLISECONDS);
  }
  for (const name of ["side", "flicker"]) button(name).disabled = !other;
  const all = pictures();
  const place = all.indexOf(looking);
  button("previous").disabled = place <= 0;
  button("next").disabled = place < 0 || place === all.length - 1;
  const facts = looking.querySelector(".facts")?.textContent;
  document.getElementById("lightbox-name").textContent = nameOf(looking) + (facts ? ` · ${facts}` : "");
  const link = document.getElementById("lightbox-neighbors");
  link.hidden = looking.id === "asked";
  link.href = looking.href;
}

function look(tile) {
  looking = tile;
  if (!lightbox.open) {
    lightbox.showModal();
    history.pushState({ lightbox: true }, "");  // so that Back closes it
  }
  draw();
}

function step(by) {
  const all = pictures();
  const tile = all[all.indexOf(looking) + by];
  if (tile) look(tile);
}

const actions = {
  previous: () => step(-1),
  next: () => step(1),
  close: () => lightbox.close(),
  full: () => setOn("full", !isOn("full")),
  side: () => { setOn("side", !isOn("side")); setOn("flicker", false); },
  flicker: () => { setOn("flicker", !isOn("flicker")); setOn("side", false); },
};

lightbox.addEventListener("click", (event) => {
  if (event.target === lightbox || event.target === stage) lightbox.close();
  const action = event.target.closest("[data-do]")?.dataset.do;
  if (!action) return;
  actions[action]();
  if (lightbox.open) draw();
});

lightbox.addEventListener("close", () => {
  clearInterval(flicker);
  shown.removeAttribute("src");
  beside.removeAttribute("src");
  if (history.state?.lightbox) history.back();
  looking?.focus();
});
window.addEventListener("popstate", () => { if (lightbox.open) lightbox.close(); });

const KEYS = { ArrowLeft: "previous", ArrowRight: "next", 1: "full", s: "side", f: "flicker" };
lightbox.addEventListener("keydown", (event) => {
  const action = KEYS[event.key];
  if (!action || event.ctrlKey || event.metaKey || event.altKey || button(action).disabled) return;
  event.preventDefault();
  actions[action]();
  draw();
});

// Space on a tile, or a click on the picture that was searched by.
document.addEventListener("keydown", (event) => {
  if (event.key !== " " || lightbox.open || !event.target.matches("a.tile[data-large], #asked")) return;
  event.preventDefault();
  look(event.target);
});
document.addEventListener("click", (event) => {
  const closer = event.target.closest("#asked, .closer");
  if (!closer || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  look(closer.id === "asked" ? closer : closer.parentElement.querySelector("a.tile"));
});

// A button over each picture, for the mouse and for fingers.
function addButtons() {
  for (const tile of pictures()) {
    if (tile.parentElement.querySelector(".closer")) continue;
    const closer = document.createElement("button");
    closer.type = "button";
    closer.className = "closer";
    closer.textContent = "⤢";
    closer.title = "Look closer (Space)";
    closer.setAttribute("aria-label", `Look closer at ${tile.title}`);
    tile.after(closer);
  }
}
addButtons();
document.addEventListener("results", addButtons);
