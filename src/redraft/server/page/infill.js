// Infill: the text between two texts, which denoises where it will stand.

const MOST_HEALED = 24; // characters of the token before the gap that may move into the canvas
let previous = null;
at("code").value = "def mean(xs):\n    total = sum(xs)\n    \n    return total / count\n";
at("code").setSelectionRange(38, 38);

// A first canvas holds the end of what is before the gap, the gap, and as much of what is after it as fits.
function gapLayout(before, after) {
  return (run, canvas, text) => {
    if (!canvas) return { before, after, holes: [[0, text.length, "filled in"]] };
    let numHealed = canvas.index ? 0 : Math.min(before.length, text.length, MOST_HEALED);
    while (!before.endsWith(text.slice(0, numHealed))) numHealed--;
    let numAfter = Math.min(after.length, text.length - numHealed);
    while (!text.endsWith(after.slice(0, numAfter))) numAfter--;
    const shown = canvas.index ? before + canvas.before : before.slice(0, before.length - numHealed);
    return { before: shown, after: after.slice(numAfter), holes: [[numHealed, text.length - numAfter, "filled in"]] };
  };
}
// The drawing stands in for the editor while a gap is filled, and while a step of that is looked at.
function showDrawing(isShown) {
  at("code").hidden = isShown;
  at("code-live").hidden = !isShown;
}

at("infill-form").addEventListener("submit", async event => {
  event.preventDefault();
  if (running) return;
  const code = at("code");
  const { value, selectionStart: start, selectionEnd: end } = code;
  const [before, after] = [value.slice(0, start), value.slice(end)];
  const run = newRun();
  const canvas = make("div", { className: "canvas" });
  at("code-live").replaceChildren(canvas);
  at("infill-out").replaceChildren();
  const painter = new TextPainter(canvas, run, gapLayout(before, after));
  function onShow(step) {
    showFigures(run, step);
    showDrawing(step !== null || running !== null);
  }
  const player = new Player(at("infill-out"), run, painter, { onShow });
  const fault = await perform("/v1/fim/completions", { ...sampling(), prompt: before, suffix: after }, run, player);
  showDrawing(false);
  if (fault) {
    at("infill-out").append(word("p", fault, "fault"));
    return;
  }
  previous = value;
  at("undo").disabled = false;
  code.value = before + run.text + after;
  code.focus();
  code.setSelectionRange(start, start + run.text.length);
});
at("undo").addEventListener("click", () => {
  at("code").value = previous;
  at("undo").disabled = true;
  showDrawing(false);
  at("code").focus();
});
