// Sudoku: the canvas is the board, one token per cell.

const SUDOKU = "redraft-sudoku";
const NUM_CELLS = 81;
const PUZZLES = [
  "530070000600195000098000060800060003400803001700020006060000280000419005000080079",
  "003020600900305001001806400008102900700000008006708200002609500800203009005010300",
  "200080300060070084030500209000105408000000000402706000301007040720040060004010003",
];
let puzzle = 0;
let solved = null; // the run on the board

const rowOf = i => Math.floor(i / 9);
const columnOf = i => i % 9;
const boxOf = i => 3 * Math.floor(rowOf(i) / 3) + Math.floor(columnOf(i) / 3);
function conflicts(digits) {
  const wrong = new Set();
  for (let i = 0; i < NUM_CELLS; i++)
    for (let j = 0; j < i; j++) {
      const arePeers = [rowOf, columnOf, boxOf].some(groupOf => groupOf(i) === groupOf(j));
      if (arePeers && digits[i] === digits[j]) wrong.add(i).add(j);
    }
  return wrong;
}

// ---- the board
const ARROWS = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 9, ArrowUp: -9 };
function cellAt(i) {
  const ariaLabel = `row ${rowOf(i) + 1}, column ${columnOf(i) + 1}`;
  const cell = make("input", { inputMode: "numeric", maxLength: 1, autocomplete: "off", ariaLabel });
  cell.classList.toggle("right", [2, 5].includes(columnOf(i)));
  cell.classList.toggle("below", [2, 5].includes(rowOf(i)));
  cell.addEventListener("input", () => {
    const digit = cell.value.replace(/[^1-9]/, "");
    forget();
    give(i, digit);
  });
  cell.addEventListener("keydown", event => {
    const step = ARROWS[event.key];
    if (!step) return;
    event.preventDefault();
    cells[(i + step + NUM_CELLS) % NUM_CELLS].focus();
  });
  return cell;
}
const cells = Array.from({ length: NUM_CELLS }, (_, i) => cellAt(i));
at("board").append(...cells);
inspectable(at("board"), (c, i) => about(solved, solved.canvases[0], solved.canvases[0].frames.length - 1, i));

const LOOKS = ["fresh", "kept", "faded", "open", "wrong"];
function paintCell(i, digit, look = null, background = "") {
  cells[i].classList.remove(...LOOKS);
  if (look) cells[i].classList.add(look);
  cells[i].value = digit;
  cells[i].style.background = background;
}
function give(i, digit) {
  cells[i].classList.toggle("given", digit !== "");
  cells[i].ariaDescription = digit === "" ? "" : "given";
  paintCell(i, digit);
}
const givens = () => cells.map(cell => (cell.classList.contains("given") ? cell.value : "0")).join("");
// What was computed goes, what was given stays.
function forget() {
  solved = null;
  givens().split("").forEach((digit, i) => paintCell(i, digit === "0" ? "" : digit));
  for (const cell of cells) delete cell.dataset.i;
  at("sudoku-out").replaceChildren();
  at("verdict").textContent = "";
}
function setBoard(digits) {
  digits.split("").forEach((digit, i) => give(i, digit === "0" ? "" : digit));
  forget();
}

// ---- a run on it
class BoardPainter {
  constructor(run, given) {
    Object.assign(this, { run, given });
  }
  show(step, view) {
    const wrong = step ? null : conflicts(this.run.text);
    const settled = view === "settled" && step ? settledSteps(step.canvas) : null;
    cells.forEach((cell, i) => {
      cell.dataset.c = 0;
      cell.dataset.i = i;
      if (!step) paintCell(i, this.run.text[i] ?? "", wrong.has(i) ? "wrong" : null);
      else if (this.given[i] !== "0") paintCell(i, this.given[i]);
      else paintCell(i, step.canvas.frames[step.f].texts[i], ...this.lookOf(step, view, settled, i));
    });
  }
  lookOf({ canvas, f }, view, settled, i) {
    if (view === "settled") return [null, heat(settled[i] / canvas.frames.length)];
    if (view === "confidence") return [null, tint("unsure", 1 - probabilityAt(this.run, canvas, f, i))];
    return [lookAt(canvas, f, i)];
  }
}
function verdictOn(text, given) {
  if (text.length < NUM_CELLS) return ["bad", "No board came back."];
  const isChanged = [...given].some((digit, i) => digit !== "0" && text[i] !== digit);
  if (isChanged) return ["bad", "✗ Not solved: a given digit was changed."];
  const { size } = conflicts(text);
  if (size) return ["bad", `✗ Not solved: ${size} cells are in conflict. Another seed may do better.`];
  return ["good", "✓ Solved: every row, column and box holds 1 to 9."];
}

at("sudoku-form").addEventListener("submit", async event => {
  event.preventDefault();
  if (running) return;
  const given = givens();
  const run = newRun();
  forget();
  solved = run;
  const views = [["text", "Board"], ...VIEWS.slice(1)];
  const onShow = step => showFigures(run, step);
  const player = new Player(at("sudoku-out"), run, new BoardPainter(run, given), { views, onShow });
  const body = { ...sampling(["max_tokens", "canvas_length"]), model: SUDOKU, prompt: given, logprobs: NUM_TOPS };
  const fault = await perform("/v1/completions", body, run, player);
  if (solved !== run) return;
  [at("verdict").className, at("verdict").textContent] = fault ? ["bad", fault] : verdictOn(run.text, given);
});
at("example").addEventListener("click", () => {
  cancel();
  puzzle = (puzzle + 1) % PUZZLES.length;
  setBoard(PUZZLES[puzzle]);
});
at("empty").addEventListener("click", () => {
  cancel();
  setBoard("0".repeat(NUM_CELLS));
});
setBoard(PUZZLES[puzzle]);
