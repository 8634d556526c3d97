// One position in words: a card beside whatever is hovered, tapped or reached by arrow keys.

const visible = text => (text ? text.replace(/ /g, "␣").replace(/\n/g, "⏎").replace(/\t/g, "⇥") : "(end)");
function percent(p) {
  if (p == null) return "?";
  if (p < 0.0005) return "< 0.1 %";
  return p > 0.9995 ? "100 %" : `${(100 * p).toFixed(1)} %`;
}
// Rows are [text, probability, note].
function table(title, rows) {
  const node = make("table", {}, word("caption", title));
  for (const [text, p, note] of rows) {
    const bar = make("i");
    bar.style.width = `${100 * (p ?? 0)}%`;
    const figures = word("td", `${percent(p)}${note ?? ""}`);
    node.append(make("tr", {}, word("td", visible(text)), make("td", { className: "bar" }, bar), figures));
  }
  return node;
}
function about(run, canvas, f, i) {
  const frames = canvas.frames.slice(0, f + 1);
  const settled = settledSteps(canvas)[i];
  const isLate = settled === canvas.frames.length;
  const when = isLate ? "settled by the commit" : `settled at step ${settled + 1} of ${canvas.frames.length}`;
  const others = topAt(run, canvas, i)?.others ?? [];
  const stood = frames
    .map((frame, step) => [frame.texts[i], frame.shares[i], `, from step ${step + 1}`])
    .filter(([text], step) => step === 0 || text !== frames[step - 1].texts[i]);
  const parts = [word("b", visible(frames.at(-1).texts[i])), ` position ${canvas.offset + i}, ${when}`];
  if (others.length) parts.push(table("Alternatives at the commit", others));
  if (stood.length > 1 || !others.length) parts.push(table("What stood here", stood.slice(-6)));
  return parts;
}

const card = make("div", { className: "about", hidden: true, role: "status" });
document.addEventListener("DOMContentLoaded", () => document.body.append(card));
function hideCard() {
  card.hidden = true;
  document.querySelector(".looked-at")?.classList.remove("looked-at");
}
function showCard(node, parts) {
  hideCard();
  node.classList.add("looked-at");
  card.replaceChildren(...parts);
  card.hidden = false;
  const box = node.getBoundingClientRect();
  const size = card.getBoundingClientRect();
  const isBelow = box.bottom + size.height + 12 < innerHeight;
  card.style.left = `${Math.max(8, Math.min(innerWidth - size.width - 8, box.left))}px`;
  card.style.top = `${Math.max(8, isBelow ? box.bottom + 8 : box.top - size.height - 8)}px`;
}
// Whatever in `root` has data-c and data-i is a position of a canvas; `partsOf(c, i)` says what the card holds.
function inspectable(root, partsOf) {
  const look = node => showCard(node, partsOf(Number(node.dataset.c), Number(node.dataset.i)));
  root.addEventListener("pointerover", event => {
    const node = event.target.closest("[data-i]");
    node ? look(node) : hideCard();
  });
  root.addEventListener("pointerleave", hideCard);
  root.addEventListener("blur", hideCard);
  root.addEventListener("keydown", event => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const cells = [...root.querySelectorAll("[data-i]")];
    if (!step || !cells.length || event.target !== root) return;
    event.preventDefault();
    const now = cells.findIndex(cell => cell.classList.contains("looked-at"));
    const first = step > 0 ? 0 : cells.length - 1;
    look(cells[now < 0 ? first : (now + step + cells.length) % cells.length]);
  });
}
