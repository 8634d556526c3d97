// Tabs, keys, colours, and the models there are.

const tabs = [...document.querySelectorAll("[role=tab]")];
function choose(tab) {
  for (const one of tabs) {
    const isChosen = one === tab;
    one.setAttribute("aria-selected", isChosen);
    one.tabIndex = isChosen ? 0 : -1;
    at(one.getAttribute("aria-controls")).hidden = !isChosen;
  }
  at("model").disabled = tab.id === "tab-sudoku"; // it has a model of its own
}
tabs.forEach((tab, i) => {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", event => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(i + step + tabs.length) % tabs.length];
    choose(next);
    next.focus();
  });
});
for (const button of document.querySelectorAll(".stop")) button.addEventListener("click", cancel);
document.addEventListener("keydown", event => {
  if (event.key !== "Escape") return;
  cancel();
  hideCard();
});

const THEMES = [["light dark", "as the system", "◐"], ["light", "light", "☀"], ["dark", "dark", "☾"]];
function setTheme(index) {
  const [scheme, name, sign] = THEMES[index];
  document.documentElement.style.colorScheme = scheme;
  at("theme").textContent = sign;
  at("theme").ariaLabel = at("theme").title = `Colours: ${name}`;
  at("theme").onclick = () => setTheme((index + 1) % THEMES.length);
  localStorage.setItem("theme", index);
}
setTheme(Number(localStorage.getItem("theme")) % THEMES.length);

async function listModels() {
  const response = await fetch("/v1/models", { headers: headers() });
  const body = await response.json();
  at("key-form").hidden = response.status !== 401;
  if (!response.ok) {
    at("key-fault").textContent = at("key").value ? body.error.message : "";
    return;
  }
  models = body.data;
  at("model").replaceChildren(...models.map(model => make("option", { value: model.id, textContent: model.id })));
  const hasSudoku = models.some(model => model.id === SUDOKU);
  at("sudoku-missing").textContent = hasSudoku ? "" : `This server does not have the model for it: redraft serve ${SUDOKU}`;
  if (models[0].id === SUDOKU) choose(at("tab-sudoku"));
  greetModel();
}
// What the page says of the model that is chosen.
function greetModel() {
  showDefaults();
  suggest();
}
at("key-form").addEventListener("submit", event => {
  event.preventDefault();
  listModels();
});
at("model").addEventListener("change", greetModel);
at("sampling").open = !matchMedia("(max-width: 60rem)").matches;
showFigures(newRun());
listModels();
