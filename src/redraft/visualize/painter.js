// Draws a run as text. Any painter has show(step, view): the run at a step (null: as it was committed) under a view,
// "text", "draft", "settled" or "confidence".

const tint = (name, share) => `color-mix(in oklab, var(--${name}) ${Math.round(60 * share)}%, transparent)`;
function heat(share) {
  const mixed = `color-mix(in oklab, var(--late) ${Math.round(100 * share)}%, var(--early))`;
  return `color-mix(in oklab, ${mixed} 45%, transparent)`;
}

// A layout says what stands around the text of a canvas (null: the committed text), and which stretches [from, to, name]
// of it are holes; null: it has none.
const plainLayout = (run, canvas) => ({ before: canvas?.before ?? "", after: "", holes: null });

class TextPainter {
  constructor(node, run, layout = plainLayout) {
    Object.assign(this, { node, run, layout, at: null });
    node.tabIndex = 0;
    node.setAttribute("role", "group");
    node.setAttribute("aria-label", "Reply. Arrow keys look at single positions in the other views.");
    inspectable(node, (c, i) => {
      const canvas = run.canvases[c];
      return about(run, canvas, canvas === this.at?.canvas ? this.at.f : canvas.frames.length - 1, i);
    });
  }
  show(step, view) {
    this.at = step;
    if (view === "text" || !step) return this.node.replaceChildren(...this.committed());
    const { canvases } = this.run;
    const c = canvases.indexOf(step.canvas);
    const drawn = view === "draft" ? [step.canvas] : canvases.slice(0, c + 1);
    const { before } = this.layout(this.run, drawn[0], drawn[0].frames.at(-1).texts.join(""));
    const { after, holes } = this.layout(this.run, step.canvas, step.canvas.frames[step.f].texts.join(""));
    const stepOf = canvas => (canvas === step.canvas ? step.f : canvas.frames.length - 1);
    const spans = drawn.flatMap(canvas => this.spans(canvas, stepOf(canvas), view, holes));
    this.node.replaceChildren(before, ...spans, after);
  }
  committed() {
    const { text } = this.run;
    const { before, after, holes } = this.layout(this.run, null, text);
    if (!holes) return [before, text, after];
    let end = 0;
    const pieces = holes.flatMap(([from, to, name]) => {
      const literal = word("span", text.slice(end, from), "fixed");
      end = to;
      return [literal, make("span", { className: "hole", title: name, textContent: text.slice(from, to) })];
    });
    return [before, ...pieces, word("span", text.slice(end), "fixed"), after];
  }
  spans(canvas, f, view, holes) {
    const c = this.run.canvases.indexOf(canvas);
    const settled = view === "settled" ? settledSteps(canvas) : null;
    let end = 0;
    return canvas.frames[f].texts.map((text, i) => {
      const start = end;
      end += text.length;
      const span = word("span", text);
      span.dataset.c = c;
      span.dataset.i = i;
      if (view === "draft") pencil(span, lookAt(canvas, f, i), holes?.some(([from, to]) => start < to && end > from));
      if (view === "confidence") span.style.background = tint("unsure", 1 - probabilityAt(this.run, canvas, f, i));
      if (view === "settled") warm(span, settled[i], f, canvas.frames.length);
      return span;
    });
  }
}
// An open position shows a dot: noise goes in there next, and what stands there is often gibberish.
function pencil(span, look, isHole) {
  const text = span.textContent;
  span.className = isHole && text ? `${look} hole` : look;
  if (look === "open" && text) span.textContent = text.includes("\n") ? "·\n" : "·";
}
function warm(span, settled, f, count) {
  if (settled > f && f < count - 1) span.className = "open";
  else span.style.background = heat(settled / count);
}
