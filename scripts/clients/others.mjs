// Other JavaScript clients, unmodified, against a running server: others.mjs BASE_URL MODEL. A line per check; 1 where one fails.
import { generateObject, jsonSchema, streamText } from "ai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { constructLlmApi } from "@continuedev/openai-adapters";

const [base, model] = process.argv.slice(2);
const hole = { model, prompt: "def f(x):\n    y = ", suffix: "\n    return y\n", max_tokens: 8, seed: 1 };
const signal = new AbortController().signal;
const settings = { name: "redraft", baseURL: `${base}/v1`, apiKey: "x", includeUsage: true, supportsStructuredOutputs: true };
const provider = createOpenAICompatible(settings);
let failed = 0;

async function check(name, run) {
  let result = "passes";
  try {
    if (!(await run())) throw new Error("another result");
  } catch (error) {
    failed = 1;
    result = `fails: ${String(error.message).slice(0, 200)}`;
  }
  console.log(`${name.padEnd(44)}${result}`);
}
async function spoken(draft) {
  const providerOptions = { redraft: { diffusion: { draft, draft_interval: 0 } } };
  const reply = streamText({ model: provider(model), prompt: "hi", maxOutputTokens: 12, seed: 3, providerOptions });
  let text = "";
  for await (const part of reply.textStream) text += part;
  return text;
}

const plain = await spoken("off");
for (const draft of ["off", "text", "tokens"])
  await check(`Vercel ai-sdk streamText, drafts ${draft}`, async () => (await spoken(draft)) === plain);
await check("Vercel ai-sdk generateObject", async () => {
  const schema = jsonSchema({ type: "object", properties: { age: { type: "integer" } }, required: ["age"] });
  const { object } = await generateObject({ model: provider(model), prompt: "hi", schema, maxOutputTokens: 60, seed: 3 });
  return typeof object.age === "number";
});
for (const name of ["openai", "inception"]) {
  const api = constructLlmApi({ provider: name, apiBase: `${base}/v1/`, apiKey: "x" });
  await check(`Continue fimStream, provider ${name}`, async () => {
    let text = "";
    for await (const chunk of api.fimStream({ ...hole, stream: true }, signal)) text += chunk.choices?.[0]?.delta?.content ?? "";
    return text;
  });
  await check(`Continue chat stream, provider ${name}`, async () => {
    const asked = { model, messages: [{ role: "user", content: "hi" }], max_tokens: 12, stream: true };
    let chunks = 0;
    for await (const chunk of api.chatCompletionStream(asked, signal)) chunks += Boolean(chunk.choices);
    return chunks;
  });
}
process.exit(failed);
