// Constraints: what to say, what it must look like, and which parts of the reply were open.

const SCHEMA = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 20 },
    time: { type: "string", pattern: "^\\d\\d:\\d\\d$" },
    city: { type: "string", maxLength: 20 },
  },
  required: ["name", "time", "city"],
};
const FORM = '{{"name": "{name}", "time": "{time}", "city": "{city}"}}';
// kind: its name, what is to be written, an example
const FORMATS = {
  template: ["Template", "A text with holes, {name}; {{ is a brace", FORM],
  json_schema: ["JSON schema", "A JSON schema", JSON.stringify(SCHEMA, null, 1)],
  regex: ["Pattern", "A pattern in Python's syntax", "(yes|no), because [a-z ]{5,40}\\."],
  choice: ["Choice", "One choice a line", "yes\nno\nunsure"],
};
let kind = "template";

for (const [value, [text]] of Object.entries(FORMATS)) {
  const onchange = () => showExample(value);
  const input = make("input", { type: "radio", name: "format", value, checked: value === kind, onchange });
  at("formats").append(make("label", {}, input, text));
}
function showExample(value) {
  kind = value;
  [, at("spec-label").textContent, at("spec").value] = FORMATS[kind];
  at("holes-field").hidden = kind !== "template";
}
at("play-prompt").value = `${FORMS[0]}\n`;
at("holes").value = "name [A-Z][a-z]{1,11}\ntime \\d\\d:\\d\\d\ncity [A-Z][a-z]{1,11}";
showExample(kind);

const linesOf = text => text.split("\n").filter(Boolean);
// The `response_format` of what is written; throws where a schema is not JSON.
function wantedFormat() {
  const spec = at("spec").value;
  if (kind === "json_schema") return { type: kind, json_schema: { name: "form", schema: JSON.parse(spec) } };
  if (kind === "regex") return { type: kind, regex: spec };
  if (kind === "choice") return { type: kind, choices: linesOf(spec) };
  const holes = Object.fromEntries(templateParts(spec).filter(part => part.hole).map(part => [part.hole, {}]));
  for (const line of linesOf(at("holes").value)) {
    const cut = line.indexOf(" ");
    holes[line.slice(0, cut)] = { regex: line.slice(cut + 1) };
  }
  return { type: kind, template: spec, holes };
}
function layoutOf(format) {
  const marks = marksOf(format);
  return (run, canvas, text) => {
    const before = canvas?.before ?? "";
    const holes = marks?.(before + text).map(([from, to, name]) => [from - before.length, to - before.length, name]);
    return { before, after: "", holes: holes ?? null };
  };
}

at("playground-form").addEventListener("submit", async event => {
  event.preventDefault();
  if (running) return;
  const place = at("play-out");
  const run = newRun();
  place.replaceChildren();
  place.classList.remove("empty");
  let format;
  try {
    format = wantedFormat();
  } catch (problem) {
    place.append(word("p", `The schema is not JSON: ${problem.message}`, "fault"));
    return;
  }
  const { player, fail } = sheet(place, run, layoutOf(format));
  const body = { ...sampling(), prompt: at("play-prompt").value || "\n", response_format: format, logprobs: NUM_TOPS };
  fail(await perform("/v1/completions", body, run, player));
  const named = Object.entries(run.holes ?? {}).flatMap(([name, text]) => [word("dt", name), word("dd", text)]);
  place.append(make("dl", { className: "holes" }, ...named));
});
