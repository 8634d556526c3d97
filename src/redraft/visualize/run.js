"use strict";
// A run as a viewer keeps it. The page of a server and the page of a trace share this and the files that follow.

const make = (tag, fields = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), fields);
  node.append(...children);
  return node;
};

const word = (tag, textContent, className = "") => make(tag, { textContent, className });

// `tops`: per committed token { text, p, others: [[text, p], ...] }, where log-probabilities were asked for.
function newRun() {
  const outcome = { tops: null, holes: null, usage: null, seed: null, finish: null, warnings: [] };
  return { canvases: [], text: "", thoughts: "", ...outcome };
}
const lengthOf = canvas => canvas.frames[0].texts.length;
const stepsOf = run => run.canvases.flatMap(canvas => canvas.frames.map((_, f) => ({ canvas, f })));

// A frame carries what changed since the one before; here each keeps the whole canvas.
function addFrame(run, frame) {
  let canvas = run.canvases.at(-1);
  if (canvas?.index !== frame.canvas_index) {
    const offset = run.canvases.reduce((sum, one) => sum + lengthOf(one), 0);
    canvas = { index: frame.canvas_index, before: run.text, offset, frames: [] };
    run.canvases.push(canvas);
  }
  const last = canvas.frames.at(-1);
  const texts = last?.texts.slice() ?? [];
  const shares = last?.shares.slice() ?? [];
  for (const [position, text, probability] of frame.changed) {
    texts[position] = text;
    shares[position] = probability;
  }
  const { denoising_step: step, mean_entropy: entropy, temperature } = frame;
  canvas.frames.push({ texts, shares, accepted: new Set(frame.accepted), step, entropy, temperature });
}

// "fresh" was not accepted as this text a step earlier; "faded" was accepted once, and is not now.
function lookAt(canvas, f, i) {
  const frame = canvas.frames[f];
  const holds = other => other?.accepted.has(i) && other.texts[i] === frame.texts[i];
  if (frame.accepted.has(i)) return holds(canvas.frames[f - 1]) ? "kept" : "fresh";
  return canvas.frames.slice(0, f).some(holds) ? "faded" : "open";
}

// Per position the first step from which it was accepted with its last text without a break; the number of steps where
// the commit decided it.
function settledSteps({ frames }) {
  const final = frames.at(-1);
  return final.texts.map((text, i) => {
    let step = frames.length;
    while (step > 0 && frames[step - 1].accepted.has(i) && frames[step - 1].texts[i] === text) step--;
    return step;
  });
}

// What is known of the committed token at a position, where that is what stands there.
function topAt(run, canvas, i) {
  const top = run.tops?.[canvas.offset + i];
  return top?.text === canvas.frames.at(-1).texts[i] ? top : null;
}
// Of the token that stands there: exact for a committed one, else what it had when it came to stand there.
function probabilityAt(run, canvas, f, i) {
  const committed = f === canvas.frames.length - 1 ? topAt(run, canvas, i)?.p : null;
  return committed ?? canvas.frames[f].shares[i] ?? 1;
}
