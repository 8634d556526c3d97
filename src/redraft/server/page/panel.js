// The side: figures of the run in view, and the sampler's knobs. And the place where a reply is shown.

// name, what it is called, least value
const KNOBS = [
  ["seed", "seed", 0],
  ["temperature", "temperature", 0],
  ["max_tokens", "max tokens", 1],
  ["max_denoising_steps", "denoising steps", 1],
  ["entropy_bound", "entropy bound", 0],
  ["canvas_length", "canvas length", 1],
  ["t_max", "t max (first step)", 0],
  ["t_min", "t min (last step)", 0],
  ["confidence_threshold", "confidence threshold", 0],
  ["stability_threshold", "stability threshold", 1],
  ["restart_after", "start anew after", 1],
];
for (const [name, text, min] of KNOBS)
  at("knobs").append(make("label", {}, text, make("input", { id: `knob-${name}`, name, type: "number", min, step: "any" })));
function showDefaults() {
  const model = chosen();
  const values = { seed: "drawn", canvas_length: model?.canvas_length, ...model?.defaults };
  for (const [name] of KNOBS) at(`knob-${name}`).placeholder = values[name] ?? "";
}

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
function inWords(run) {
  if (!run.usage) return "stopped";
  const { completion_tokens: tokens, diffusion } = run.usage;
  const figures = [plural(tokens, "token"), plural(diffusion.denoising_steps, "step"), `${diffusion.seconds.toFixed(2)} s`];
  return [...figures, `seed ${run.seed}`, ...run.warnings].join(" · ");
}

let inView = null;
// Draws the figures of a run; where they stand already, only the mark of the step in view moves.
function showFigures(run, step = null) {
  if (inView !== run || !step || !run.usage) at("figures").replaceChildren(...panelOf(run));
  inView = run;
  const svg = at("figures").querySelector("svg");
  if (!svg) return;
  drawChart(svg, run, step);
  at("figures").querySelector(".now-text").textContent = step ? stepInWords(step) : "";
}
function panelOf(run) {
  if (!run.canvases.length && !run.usage) return [word("p", "Figures of a run appear here.", "quiet")];
  const stats = make("dl", { className: "stats" });
  for (const [value, name] of run.usage ? finalStats(run.usage) : liveStats(run))
    stats.append(make("div", {}, word("dt", name), word("dd", value)));
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "chart");
  const keys = make("div", { className: "keys" }, word("span", "accepted"), word("span", "mean entropy"));
  const warnings = run.warnings.map(text => word("li", text));
  const title = word("h3", run.usage ? "This run" : "Running");
  return [title, stats, svg, keys, word("p", "", "quiet now-text"), chipsOf(run), make("ul", {}, ...warnings)];
}
function finalStats({ completion_tokens: tokens, diffusion }) {
  return [
    [(tokens / Math.max(diffusion.seconds, 1e-9)).toFixed(0), "tokens per second"],
    [diffusion.tokens_per_forward.toFixed(1), "tokens per pass"],
    [tokens, "tokens"],
    [diffusion.denoising_steps, "denoising steps"],
    [`${diffusion.seconds.toFixed(2)} s`, "in all"],
    [diffusion.canvases, diffusion.canvases === 1 ? "canvas" : "canvases"],
  ];
}
const liveStats = run => [[stepsOf(run).length, "denoising steps"], [run.canvases.length, "canvases begun"]];
function chipsOf(run) {
  const chips = make("div", { className: "row" });
  if (!run.usage) return chips;
  const hasConverged = run.usage.diffusion.converged.flat().every(Boolean);
  chips.append(hasConverged ? word("span", "✓ converged", "chip yes") : word("span", "step limit reached", "chip no"));
  if (run.finish === "length") chips.append(word("span", "cut at max tokens", "chip no"));
  const reuse = () => { at("knob-seed").value = run.seed; };
  const textContent = `seed ${run.seed}`;
  chips.append(make("button", { type: "button", textContent, title: "Use this seed again", onclick: reuse }));
  return chips;
}

// A place for a reply: thoughts, canvas, controls. `fail` says what went wrong with it.
function sheet(place, run, layout = plainLayout) {
  const thought = make("p", { className: "thought", hidden: true });
  const fault = make("p", { className: "fault", hidden: true });
  const canvas = make("div", { className: "canvas" });
  const controls = make("div");
  place.append(thought, canvas, controls, fault);
  function onShow(step) {
    thought.textContent = run.thoughts;
    thought.hidden = !run.thoughts;
    showFigures(run, step);
  }
  function fail(text) {
    fault.textContent = text;
    fault.hidden = !text;
  }
  return { player: new Player(controls, run, new TextPainter(canvas, run, layout), { onShow }), fail };
}
