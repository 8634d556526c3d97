// Which stretches of a constrained reply were open: (text) => [[from, to, name], ...], null where nobody can say.

const quoted = text => text.replace(/[.*+?^${}()|[\]\\\/]/g, "\\$&");

function marksOf(format) {
  if (format.type === "choice") return text => [[0, text.length, "choice"]];
  if (format.type === "json_schema") return jsonValues;
  const parts = format.type === "template" ? templateParts(format.template) : patternParts(format.regex);
  const source = parts.map(part => (part.hole ? `(${part.pattern})` : quoted(part.text))).join("");
  const names = parts.filter(part => part.hole).map(part => part.hole);
  let pattern;
  try {
    pattern = new RegExp(`^${source}$`, "ds");
  } catch {
    return null; // Python's syntax, and not the browser's
  }
  return text => (pattern.exec(text)?.indices.slice(1) ?? []).map(([from, to], i) => [from, to, names[i]]);
}

// Strings that are no keys, numbers and words.
function jsonValues(text) {
  const found = [...text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?|-?\d[\d.eE+-]*|true|false|null/g)];
  return found.filter(match => !match[1]).map(match => [match.index, match.index + match[0].length, "value"]);
}

// A template as texts and holes; two braces are one.
function templateParts(template) {
  const parts = template.split(/(\{\{|\}\}|\{\w+\})/).filter(Boolean);
  return parts.map(part => {
    if (/^\{\w+\}$/.test(part)) return { hole: part.slice(1, -1), pattern: ".*?" };
    return { text: part === "{{" || part === "}}" ? part[0] : part };
  });
}

// A pattern as texts and what varies between them. One with alternatives at its top varies as a whole.
function patternParts(pattern) {
  const group = String.raw`\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\)`;
  const atom = new RegExp(String.raw`(?:\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|${group}|[^\\])(?:[*+?]|\{[\d,]+\})?\??`, "gs");
  const atoms = pattern.match(atom) ?? [];
  if (atoms.includes("|")) return [{ hole: "pattern", pattern: inert(pattern) }];
  const parts = [];
  for (const text of atoms) {
    const literal = /^(?:\\([^\w\s])|([^\\[(.^$]))$/s.exec(text);
    const part = literal ? { text: literal[1] ?? literal[2] } : { hole: "pattern", pattern: inert(text) };
    const last = parts.at(-1);
    if (last && "hole" in last === "hole" in part) last[literal ? "text" : "pattern"] += part.text ?? part.pattern;
    else parts.push(part);
  }
  return parts;
}
// Its groups must not count among ours.
const inert = pattern => pattern.replace(/\\.|\((?:\?P<\w+>)?(?!\?)/gs, found => (found[0] === "(" ? "(?:" : found));
