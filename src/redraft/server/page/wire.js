// What goes over the wire: knobs -> a request, a stream -> a run. One request at a time.

const at = id => document.getElementById(id);
const ON_TOP = ["temperature", "max_tokens", "seed"]; // the other knobs are fields of `diffusion`
let models = [];
let running = null;
const chosen = () => models.find(model => model.id === at("model").value);
const cancel = () => running?.abort();

function headers() {
  const key = at("key").value.trim();
  return { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) };
}
// The knobs as fields of a request, without those that an endpoint has no use for.
function sampling(without = []) {
  const body = { model: at("model").value, diffusion: { draft: "tokens", draft_interval: 0 } };
  for (const { name, value } of document.querySelectorAll("#knobs input")) {
    if (value === "" || without.includes(name)) continue;
    (ON_TOP.includes(name) ? body : body.diffusion)[name] = Number(value);
  }
  return body;
}

async function* events(path, body, signal) {
  const full = { ...body, stream: true, stream_options: { include_usage: true } };
  const response = await fetch(path, { method: "POST", headers: headers(), body: JSON.stringify(full), signal });
  if (!response.ok) throw new Error((await response.json()).error.message);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      if (!block.startsWith("data: ") || block === "data: [DONE]") continue;
      const data = JSON.parse(block.slice(6));
      if (data.error) throw new Error(data.error.message);
      yield data;
    }
  }
}

function take(run, chunk) {
  if (chunk.diffusion) addFrame(run, chunk.diffusion);
  if (chunk.usage) run.usage = chunk.usage;
  const choice = chunk.choices[0];
  run.text += choice?.delta?.content ?? choice?.text ?? "";
  run.thoughts += choice?.delta?.reasoning_content ?? "";
  if (!choice?.finish_reason) return;
  run.finish = choice.finish_reason;
  run.holes = choice.holes ?? null;
  run.tops = topsOf(choice.logprobs);
  run.seed = chunk.seed;
  run.warnings = chunk.warnings ?? [];
}
// Per committed token its text, its probability and the best others, from either shape of logprobs.
function topsOf(logprobs) {
  if (!logprobs) return null;
  const shares = pairs => pairs.map(([text, logprob]) => [text, Math.exp(logprob)]);
  if (logprobs.content)
    return logprobs.content.map(({ token, bytes, logprob, top_logprobs: top }) => ({
      text: bytes ? token : "", // a control token shows no text
      p: Math.exp(logprob),
      others: shares(top.map(other => [other.token, other.logprob])),
    }));
  return logprobs.tokens.map((text, i) => ({
    text,
    p: Math.exp(logprobs.token_logprobs[i]),
    others: shares(Object.entries(logprobs.top_logprobs[i] ?? {})),
  }));
}

// While a request runs, each form's main button is its stop button.
function showStop(isOn) {
  for (const stop of document.querySelectorAll(".stop")) {
    const main = stop.form.querySelector(".main");
    const hadFocus = [stop, main].includes(document.activeElement);
    stop.hidden = !isOn;
    main.hidden = isOn;
    if (hadFocus) (isOn ? stop : main).focus();
  }
}
// Runs one request into `run`, shown by `player`. Gives what went wrong in words, or null.
async function perform(path, body, run, player) {
  cancel();
  const control = (running = new AbortController());
  let fault = null;
  showStop(true);
  at("status").textContent = "denoising";
  try {
    for await (const chunk of events(path, body, control.signal)) {
      take(run, chunk);
      player.arrive();
    }
  } catch (problem) {
    fault = problem.name === "AbortError" ? "stopped" : problem.message;
  }
  await player.end();
  if (running !== control) return fault; // another request has begun
  running = null;
  showStop(false);
  at("status").textContent = fault ?? `done: ${run.text} ${inWords(run)}`;
  return fault;
}
