// JavaScript clients, unmodified, against a running server: node clients.mjs BASE_URL MODEL. One line each; 1 where one fails.
import OpenAI from "openai";
import { streamText } from "ai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { constructLlmApi } from "@continuedev/openai-adapters";

const [base, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: "x", maxRetries: 0 });
const body = { model, messages: [{ role: "user", content: "hi" }], max_tokens: 12, seed: 3 };
const hole = { model, prompt: "def f(x):\n    y = ", suffix: "\n    return y\n", max_tokens: 8, seed: 1 };
let failed = 0;

async function check(name, run) {
  let result = "passes";
  try {
    const wrong = await run();
    if (wrong !== undefined) throw new Error(wrong);
  } catch (error) {
    failed = 1;
    result = `fails: ${String(error.message).slice(0, 200)}`;
  }
  console.log(`${name.padEnd(44)}${result}`);
}
const same = (a, b) => (a === b ? undefined : `${JSON.stringify(a)}, not ${JSON.stringify(b)}`);
async function streamed(extra) {
  let text = "", frames = 0;
  for await (const chunk of await client.chat.completions.create({ ...body, stream: true, ...extra })) {
    text += chunk.choices[0].delta.content ?? "";
    frames += Boolean(chunk.diffusion);
  }
  return { text, frames };
}

const whole = (await client.chat.completions.create(body)).choices[0].message.content;
for (const draft of ["off", "text", "tokens"])
  await check(`openai-node stream, drafts ${draft}`, async () => {
    const { text, frames } = await streamed({ diffusion: { draft } });
    return same(text, whole) ?? same(frames > 0, draft !== "off");
  });
await check("openai-node .stream()", async () => {
  const last = await client.chat.completions.stream({ ...body, diffusion: { draft: "text" } }).finalChatCompletion();
  return same(last.choices[0].message.content, whole);
});
await check("openai-node error", async () => {
  try {
    await client.chat.completions.create({ ...body, max_tokens: -1 });
  } catch (error) {
    return same(error.status, 400);
  }
  return "accepted";
});
const provider = createOpenAICompatible({ name: "redraft", baseURL: `${base}/v1`, apiKey: "x", includeUsage: true });
for (const draft of ["off", "tokens"])
  await check(`Vercel ai-sdk streamText, drafts ${draft}`, async () => {
    const options = { redraft: { diffusion: { draft } } };
    const reply = streamText({ model: provider(model), prompt: "hi", maxOutputTokens: 12, seed: 3, providerOptions: options });
    let text = "";
    for await (const part of reply.textStream) text += part;
    return same(text, whole);
  });
for (const name of ["openai", "inception"])
  await check(`Continue fimStream, provider ${name}`, async () => {
    const api = constructLlmApi({ provider: name, apiBase: `${base}/v1/`, apiKey: "x" });
    let text = "";
    for await (const chunk of api.fimStream({ ...hole, stream: true }, new AbortController().signal))
      text += chunk.choices?.[0]?.delta?.content ?? "";
    return text ? undefined : "no text";
  });
process.exit(failed);
