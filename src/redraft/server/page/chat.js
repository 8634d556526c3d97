// Chat: the bubble denoises in place and settles.

const NUM_TOPS = 5; // alternatives asked for at each position
const FORMS = [
  'Lunch with Maria at 14:30 in Oslo.\n{"name": "", "time": "", "city": ""}',
  'Please send 3 lamps to Nadia in Porto.\n{"quantity": 0, "item": "", "name": ""}',
];
// What a shipped model was trained on; any other is taken for one to talk to.
const SUGGESTIONS = { "redraft-mini": FORMS, "redraft-sudoku": [] };
const TO_TALK = ["Write a haiku about glass.", "Explain in three sentences how a bicycle stays upright."];
let turns = [];

async function say(text) {
  if (!text || running) return;
  const run = newRun();
  const box = make("article", { className: "reply live", ariaLabel: "Reply" });
  at("chat-text").value = "";
  at("intro").hidden = true;
  at("turns").append(word("div", text, "said"), box);
  turns.push({ role: "user", content: text });
  const { player, fail } = sheet(box, run);
  box.scrollIntoView({ block: "nearest" });
  const fault = await perform(...requestFor(text), run, player);
  fail(fault);
  box.classList.remove("live");
  box.scrollIntoView({ block: "nearest" });
  if (run.text) turns.push({ role: "assistant", content: run.text });
  else turns.pop();
}
// Path and body; a model without a chat template continues the text.
function requestFor(text) {
  if (!chosen()?.has_chat) return ["/v1/completions", { ...sampling(), prompt: text, logprobs: NUM_TOPS }];
  const options = { enable_thinking: at("thinking").checked };
  const asked = { messages: turns, logprobs: true, top_logprobs: NUM_TOPS, chat_template_kwargs: options };
  return ["/v1/chat/completions", { ...sampling(), ...asked }];
}

function suggest() {
  const texts = SUGGESTIONS[at("model").value] ?? TO_TALK;
  const buttons = texts.map(text => make("button", { type: "button", textContent: text, onclick: () => say(text) }));
  at("suggestions").replaceChildren(...buttons);
}
at("chat-form").addEventListener("submit", event => {
  event.preventDefault();
  say(at("chat-text").value.trim());
});
at("chat-text").addEventListener("keydown", event => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("chat-form").requestSubmit();
});
at("chat-clear").addEventListener("click", () => {
  cancel();
  turns = [];
  at("turns").replaceChildren();
  at("intro").hidden = false;
  at("chat-text").focus();
});
