// Choosing pictures of groups: by a rule in one group or in all, by keyboard, remembered over pages until they are used.
"use strict";

const STORE = "chosen";  // id -> bytes, for this tab

const chosen = () => new Map(JSON.parse(sessionStorage.getItem(STORE) ?? "[]"));
const boxes = (inside) => [...inside.querySelectorAll("input[name=id]:not([type=hidden], :disabled)")];

function inWords(bytes) {
  return bytes < 999_500 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function remember(changed) {
  const all = chosen();
  for (const box of changed) {
    if (box.checked) all.set(box.value, Number(box.dataset.bytes));
    else all.delete(box.value);
  }
  sessionStorage.setItem(STORE, JSON.stringify([...all]));
  tell(all);
}

function tell(all) {
  const output = document.getElementById("chosen");
  if (!output) return;
  const bytes = [...all.values()].reduce((sum, value) => sum + value, 0);
  output.textContent = all.size ? `${all.size} chosen, ${inWords(bytes)}` : "none chosen";
}

// All but the picture that a rule keeps; without a rule none.
function choose(inside, rule) {
  const changed = boxes(inside);
  for (const box of changed) box.checked = rule !== "" && !box.closest("li").dataset.keptBy.split(" ").includes(rule);
  remember(changed);
}

// A row of rules in each group that has none yet.
function addRules(form) {
  const rules = [...form.querySelectorAll(".selecting [data-rule]")];
  for (const group of form.querySelectorAll(".group:not(:has(.rules))")) {
    const row = document.createElement("p");
    row.className = "rules";
    row.append("all but the ");
    for (const rule of rules) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button";
      button.dataset.rule = rule.dataset.rule;
      button.textContent = rule.textContent;
      row.append(button);
    }
    group.querySelector("h2").after(row);
  }
}

function begin() {
  const form = document.getElementById("selection");
  if (!form) return;
  addRules(form);
  const all = chosen();
  for (const box of boxes(form)) {
    if (all.has(box.value)) box.checked = true;
  }
  remember(boxes(form));
}
begin();
document.addEventListener("results", begin);

document.addEventListener("change", (event) => {
  if (event.target.matches("#selection input[name=id]")) remember([event.target]);
});
document.addEventListener("click", (event) => {
  const rule = event.target.closest("#selection [data-rule]");
  if (!rule) return;
  event.preventDefault();
  choose(rule.closest(".group") ?? document.getElementById("selection"), rule.dataset.rule);
});

// What was chosen on other pages goes with what is chosen on this one.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.id !== "selection") return;
  for (const extra of form.querySelectorAll("input[type=hidden][name=id]")) extra.remove();
  const here = new Set(boxes(form).map((box) => box.value));
  for (const id of chosen().keys()) {
    if (here.has(id)) continue;
    const extra = document.createElement("input");
    extra.type = "hidden";
    extra.name = "id";
    extra.value = id;
    form.append(extra);
  }
  if (event.submitter?.formAction.endsWith("/move")) sessionStorage.removeItem(STORE);
});

// x chooses the picture that has the focus.
document.addEventListener("keydown", (event) => {
  if (event.key !== "x" || event.ctrlKey || event.metaKey || event.altKey) return;
  const box = event.target.closest("li")?.querySelector("input[name=id]:not(:disabled)");
  if (!box || event.target.matches("input[type=search]")) return;
  box.checked = !box.checked;
  remember([box]);
});
