// Draws openapi.json: for each address what it does, takes and answers, and a command to try it.

const made = (kind, text, ...parts) => {
  const node = document.createElement(kind);
  if (text) node.textContent = text;
  node.append(...parts);
  return node;
};

// What stands between backticks as code.
const prose = (kind, text) => made(kind, "", ...(text || "").split("`").map((each, at) => (at % 2 ? made("code", each) : each)));

const root = new URL(".", location.href).href.replace(/\/$/, "");

function command(method, path, entry) {
  if (!entry.requestBody) return `curl ${root}${path}`;
  return `curl -F images=@one.jpg -F images=@two.jpg ${root}${path}\n`
    + `curl -H 'Content-Type: image/jpeg' --data-binary @one.jpg ${root}${path}`;
}

function listed(title, pairs) {
  if (!pairs.length) return [];
  return [made("h3", title), made("dl", "", ...pairs.flatMap(([name, text]) => [made("dt", name), prose("dd", text)]))];
}

function told(schema, all) {
  // The shape of an answer in a line: {results: [{name, predictions: [{label, probability}]}]}
  if (!schema) return "";
  if (schema.$ref) return told(all[schema.$ref.split("/").pop()], all);
  if (schema.anyOf) return told(schema.anyOf.find((each) => each.type !== "null"), all);
  if (schema.type === "array") return `[${told(schema.items, all)}]`;
  if (!schema.properties) return schema.type || "anything";
  const simple = (text) => !text.startsWith("{") && !text.startsWith("[");
  const fields = Object.entries(schema.properties).map(([name, kind]) => [name, told(kind, all)]);
  return `{${fields.map(([name, text]) => (simple(text) ? name : `${name}: ${text}`)).join(", ")}}`;
}

function drawn(path, method, entry, all) {
  const parameters = (entry.parameters || []).map((each) => {
    const usual = each.schema.default === undefined ? "" : ` (${each.schema.default} when not given)`;
    return [each.name, (each.description || "") + usual];
  });
  const answers = Object.entries(entry.responses).filter(([status]) => status !== "422" || parameters.length || entry.requestBody)
    .map(([status, each]) => {
      const shape = told(each.content?.["application/json"]?.schema, all);
      return [status, status === "200" ? shape || "the content itself" : each.description];
    });
  const code = made("pre", command(method, path, entry));
  code.tabIndex = 0; // it scrolls sideways, also by keys
  code.setAttribute("aria-label", `Commands for ${path}`);
  code.setAttribute("role", "region");
  return made("section", "", made("h2", "", made("b", method.toUpperCase()), path), prose("p", entry.description), code,
    ...listed("Parameters", parameters), ...listed("Answers", answers));
}

try {
  const api = await (await fetch("openapi.json")).json();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, entry] of Object.entries(methods)) {
      document.getElementById("paths").append(drawn(path, method, entry, api.components.schemas));
    }
  }
} catch {
  const error = document.getElementById("error");
  error.textContent = "The server does not answer; reload the page in a moment.";
  error.hidden = false;
}
