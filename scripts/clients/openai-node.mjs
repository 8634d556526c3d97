// openai-node, unmodified, against a running server: openai-node.mjs BASE_URL MODEL. A line per check; 1 where one fails.
import OpenAI from "openai";

const [base, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: "x", maxRetries: 0 });
const body = { model, messages: [{ role: "user", content: "hi" }], max_tokens: 12, seed: 3 };
const schema = { type: "object", properties: { age: { type: "integer" } }, required: ["age"] };
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
  let text = "";
  let frames = 0;
  for await (const chunk of await client.chat.completions.create({ ...body, stream: true, ...extra })) {
    text += chunk.choices[0].delta.content ?? "";
    frames += Boolean(chunk.diffusion);
  }
  return { text, frames };
}

const whole = (await client.chat.completions.create(body)).choices[0].message.content;
for (const draft of ["off", "text", "tokens"])
  await check(`openai-node stream, drafts ${draft}`, async () => {
    const { text, frames } = await streamed({ diffusion: { draft, draft_interval: 0 } });
    return same(text, whole) ?? same(frames > 0, draft !== "off");
  });
await check("openai-node .stream()", async () => {
  const last = await client.chat.completions.stream({ ...body, diffusion: { draft: "text" } }).finalChatCompletion();
  return same(last.choices[0].message.content, whole);
});
await check("openai-node schema", async () => {
  const form = { type: "json_schema", json_schema: { name: "person", schema } };
  const reply = await client.chat.completions.create({ ...body, max_tokens: 60, response_format: form });
  return same(typeof JSON.parse(reply.choices[0].message.content).age, "number");
});
await check("openai-node named tool", async () => {
  const tools = [{ type: "function", function: { name: "f", parameters: schema } }];
  const named = { type: "function", function: { name: "f" } };
  const reply = await client.chat.completions.create({ ...body, max_tokens: 60, tools, tool_choice: named });
  return same(reply.choices[0].message.tool_calls[0].function.name, "f");
});
await check("openai-node completions, suffix", async () => {
  const hole = { prompt: "def f(x):\n    y = ", suffix: "\n    return y\n", max_tokens: 8, seed: 1 };
  return same(typeof (await client.completions.create({ model, ...hole })).choices[0].text, "string");
});
await check("openai-node error", async () => {
  try {
    await client.chat.completions.create({ ...body, max_tokens: -1 });
  } catch (error) {
    return same(error.status, 400);
  }
  return "accepted";
});
process.exit(failed);
