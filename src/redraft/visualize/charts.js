// A run at a glance: when each position was accepted, and how acceptance and entropy went.

// Positions across, steps down: dark where a position was accepted anew, light where it stayed.
class StepGrid {
  constructor(run, onPick) {
    this.run = run;
    this.canvas = make("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.addEventListener("click", event => onPick(this.indexAt(event)));
    const axes = [word("span", "step", "down"), word("span", "position", "across")];
    this.box = make("div", { className: "grid quiet", hidden: true }, axes[0], this.canvas, axes[1]);
  }
  get numSteps() { return Math.max(...this.run.canvases.map(canvas => canvas.frames.length)); }
  get width() { return this.run.canvases.reduce((sum, canvas) => sum + lengthOf(canvas), 0); }
  // Which of all steps a click is on.
  indexAt({ offsetX, offsetY }) {
    const { canvases } = this.run;
    const x = (offsetX / this.canvas.clientWidth) * this.width;
    const c = canvases.findLastIndex(canvas => canvas.offset <= x);
    const row = Math.floor((offsetY / this.canvas.clientHeight) * this.numSteps);
    const numBefore = canvases.slice(0, c).reduce((sum, canvas) => sum + canvas.frames.length, 0);
    return numBefore + Math.min(row, canvases[c].frames.length - 1);
  }
  draw() {
    if (this.box.hidden || !this.run.canvases.length) return;
    Object.assign(this.canvas, { width: this.width, height: this.numSteps });
    const pen = this.canvas.getContext("2d");
    const style = getComputedStyle(this.canvas);
    const colour = name => {
      this.canvas.style.color = `var(--${name})`;
      return style.color;
    };
    const inks = { fresh: [colour("pencil"), 1], kept: [colour("early"), 0.32] };
    for (const { canvas, f } of stepsOf(this.run))
      for (let i = 0; i < lengthOf(canvas); i++) {
        const ink = inks[lookAt(canvas, f, i)];
        if (!ink) continue;
        [pen.fillStyle, pen.globalAlpha] = ink;
        pen.fillRect(canvas.offset + i, f, 1, 1);
      }
    const size = `${this.width} positions across, ${this.numSteps} steps down`;
    this.canvas.setAttribute("aria-label", `${size}: dark where a position was accepted anew, light where it stayed.`);
  }
}

function stepInWords({ canvas, f }) {
  const frame = canvas.frames[f];
  const numbers = `entropy ${frame.entropy.toFixed(3)}, temperature ${frame.temperature.toFixed(2)}`;
  return `canvas ${canvas.index + 1}, step ${frame.step + 1}: ${frame.accepted.size}/${frame.texts.length} accepted, ${numbers}`;
}

const SVG = "http://www.w3.org/2000/svg";
function path(className, d) {
  const node = document.createElementNS(SVG, "path");
  node.setAttribute("class", className);
  node.setAttribute("d", d);
  return node;
}
// By step the share of accepted positions (area) and the mean entropy (line); a mark at the step in view.
function drawChart(svg, run, step) {
  const steps = stepsOf(run);
  const frames = steps.map(({ canvas, f }) => canvas.frames[f]);
  const width = Math.max(1, frames.length - 1);
  const highest = Math.max(1e-9, ...frames.map(frame => frame.entropy));
  const points = heightOf => frames.map((frame, x) => `${x} ${(1 - heightOf(frame)).toFixed(4)}`).join(" L ");
  const parts = [path("base", `M 0 1 H ${width}`)];
  if (frames.length) {
    parts.push(path("area", `M 0 1 L ${points(frame => frame.accepted.size / frame.texts.length)} L ${width} 1 Z`));
    parts.push(path("line", `M ${points(frame => frame.entropy / highest)}`));
  }
  const x = steps.findIndex(one => one.canvas === step?.canvas && one.f === step.f);
  if (step) parts.push(path("now", `M ${x} 0 V 1`));
  svg.setAttribute("viewBox", `0 0 ${width} 1`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", chartInWords(frames));
  svg.replaceChildren(...parts);
}
function chartInWords(frames) {
  if (!frames.length) return "No steps yet";
  const [first, last] = [frames[0], frames.at(-1)];
  const accepted = `accepted positions went from ${first.accepted.size} to ${last.accepted.size} of ${last.texts.length}`;
  const entropy = `mean entropy from ${first.entropy.toFixed(2)} to ${last.entropy.toFixed(2)} nats`;
  return `In ${frames.length} steps ${accepted}, ${entropy}.`;
}
