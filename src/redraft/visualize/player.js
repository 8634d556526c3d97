// Shows a run while it forms, and lets it be replayed, scrubbed and shaded afterwards.

const PACE = 70; // ms that a step stays in view, at least
const MOST_BEHIND = 40; // steps that may wait to be shown before some are passed over
const VIEWS = [["text", "Text"], ["draft", "Draft"], ["settled", "Settled"], ["confidence", "Confidence"]];
const LEGENDS = {
  settled: ["early", "late: the step from which a position kept its token"],
  confidence: ["sure", "unsure: the probability of each token"],
};
const isCalm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
let numPlayers = 0;

class Player {
  // `place` gets the controls; `onShow(step or null)` hears what is in view.
  constructor(place, run, painter, { views = VIEWS, onShow = () => {} } = {}) {
    Object.assign(this, { run, painter, onShow, shown: -1, hasEnded: false, timer: null, view: "text" });
    this.button = make("button", { type: "button", className: "play", onclick: () => this.toggle() });
    this.slider = make("input", { type: "range", min: 0, oninput: () => this.jump(Number(this.slider.value)) });
    this.slider.setAttribute("aria-label", "Denoising step");
    this.label = make("span", { className: "at quiet" });
    this.legend = make("span", { className: "legend quiet" });
    this.grid = new StepGrid(run, index => this.jump(index));
    const scrubber = make("div", { className: "row" }, this.button, this.slider);
    const looks = make("div", { className: "row" }, this.choice(views), this.legend, this.label);
    this.box = make("div", { className: "player", hidden: true }, scrubber, looks, this.grid.box);
    place.append(this.box);
    this.halt();
  }
  choice(views) {
    const name = `view-${numPlayers++}`;
    const set = make("fieldset", { className: "views" });
    set.setAttribute("aria-label", "Show");
    for (const [value, text] of views) {
      const onchange = () => this.look(value);
      const input = make("input", { type: "radio", name, value, checked: value === this.view, onchange });
      set.append(make("label", {}, input, text));
    }
    return set;
  }
  get steps() { return stepsOf(this.run); }

  // Something came. Frames wait their turn, so that a quick model can be followed too.
  arrive() {
    if (isCalm()) return this.display(this.steps.length - 1, "draft");
    this.timer ??= setInterval(() => this.tick(), PACE);
    if (this.shown < 0) this.tick();
  }
  tick() {
    const { steps } = this;
    const numWaiting = steps.length - 1 - this.shown;
    if (numWaiting > 0) return this.display(this.shown + (numWaiting > MOST_BEHIND ? 2 : 1), "draft");
    if (this.hasEnded) return this.settle();
    if (this.run.text.length > (steps.at(-1)?.canvas.before.length ?? 0)) this.painter.show(null, "text");
  }
  // The run is over; resolves once all of it has been shown.
  end() {
    this.hasEnded = true;
    return new Promise(resolve => {
      this.onSettled = resolve;
      if (!this.timer) this.settle();
    });
  }
  settle() {
    this.halt();
    this.box.hidden = !this.steps.length;
    this.slider.max = Math.max(0, this.steps.length - 1);
    this.slider.value = this.slider.max;
    this.refresh();
    this.onSettled?.();
  }

  look(view) {
    this.view = view;
    this.halt();
    this.refresh();
  }
  // Draws what the slider and the view say.
  refresh() {
    const { steps } = this;
    const [from, to] = LEGENDS[this.view] ?? [];
    this.legend.replaceChildren(...(from ? [from, make("i", { className: this.view }), to] : []));
    this.grid.box.hidden = this.view !== "settled";
    this.grid.draw();
    if (this.view !== "text" && steps.length) return this.display(Number(this.slider.value), this.view);
    this.painter.show(null, "text");
    this.label.textContent = `${steps.length} steps`;
    return this.onShow(null);
  }
  display(index, view) {
    const { steps } = this;
    if (!steps[index]) return;
    this.shown = index;
    this.slider.value = index;
    this.painter.show(steps[index], view);
    this.label.textContent = `step ${index + 1} of ${steps.length}`;
    this.slider.setAttribute("aria-valuetext", this.label.textContent);
    this.onShow(steps[index]);
  }
  go(index) { this.display(index, this.view === "text" ? "draft" : this.view); }
  jump(index) { this.halt(); this.go(index); }
  move(count) { this.jump(Math.max(0, Math.min(this.steps.length - 1, this.shown + count))); }
  halt() {
    clearInterval(this.timer);
    this.timer = null;
    this.button.textContent = "▶ Replay";
  }
  // Plays from where it was paused, else from the first step.
  toggle() {
    if (this.timer) return this.halt();
    const last = this.steps.length - 1;
    this.go(this.shown < last ? Math.max(0, this.shown) : 0);
    this.button.textContent = "❚❚ Pause";
    const next = () => (this.shown < last ? this.go(this.shown + 1) : this.look(this.view));
    this.timer = setInterval(next, 2 * PACE);
  }
}
