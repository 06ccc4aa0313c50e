// The interactive page: lists every operation of /openapi.json and sends requests to it. Text is only ever set as text.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
let api;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function resolve(schema) {
  return schema && schema.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema || {};
}

// A value of the schema to start from: its default or example, else something of the right type.
function sample(given, depth = 0) {
  const schema = resolve(given);
  for (const known of [schema.default, schema.const, schema.examples && schema.examples[0], schema.enum && schema.enum[0]]) {
    if (known !== undefined && known !== null) return known;
  }
  const inner = (schema.anyOf || schema.oneOf || schema.allOf || [])[0];
  if (inner) return sample(inner, depth);
  if (schema.type === "array") return depth > 4 ? [] : [sample(schema.items, depth + 1)];
  if (schema.type === "object" || schema.properties) {
    const needed = depth > 4 ? [] : Object.entries(schema.properties || {}).filter(([name]) => (schema.required || []).includes(name));
    return Object.fromEntries(needed.map(([name, part]) => [name, sample(part, depth + 1)]));
  }
  return { integer: 0, number: 0, boolean: false }[schema.type] ?? "";
}

function fields(operation, path) {
  return [...(path.parameters || []), ...(operation.parameters || [])].map((parameter) => {
    const schema = resolve(parameter.schema);
    const input = element("input", { required: parameter.required === true, autocomplete: "off" });
    if (parameter.name === "Idempotency-Key" || parameter.name === "idempotency-key") input.value = crypto.randomUUID?.() ?? String(Math.random());
    else if (schema.default !== undefined && schema.default !== null) input.placeholder = String(schema.default);
    const words = ` (${parameter.in}${parameter.required ? ", required" : ""}) ${parameter.description || ""}`;
    return { parameter, input, label: element("label", {}, element("code", { textContent: parameter.name }), words, input) };
  });
}

function bodyOf(operation) {
  const content = operation.requestBody && operation.requestBody.content;
  if (!content) return null;
  const types = Object.keys(content);
  const type = types[0];
  if (resolve(content[type].schema).format === "binary") return fileOf(types);
  const value = sample(content[type].schema);
  const text = type === "application/json" ? JSON.stringify(value, null, 2)
    : type === "application/x-www-form-urlencoded" ? new URLSearchParams(value).toString() : "";
  const area = element("textarea", { value: text, rows: Math.min(text.split("\n").length + 1, 16), spellcheck: false });
  return { type: () => type, value: () => area.value, label: element("label", {}, `Body (${type})`, area) };
}

// A file is sent as it is; a type the browser does not know (lines of JSON) goes as the first of the operation's.
function fileOf(types) {
  const input = element("input", { type: "file", required: true });
  const type = () => types.find((name) => name === input.files[0]?.type) || types[0];
  return { type, value: () => input.files[0], label: element("label", {}, `Body (${types.join(", ")})`, input) };
}

function target(path, entries) {
  let filled = path;
  const query = new URLSearchParams();
  for (const { parameter, input } of entries) {
    if (parameter.in === "path") filled = filled.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (parameter.in === "query" && input.value !== "") query.append(parameter.name, input.value);
  }
  return query.size ? `${filled}?${query}` : filled;
}

async function send(method, path, entries, body, output) {
  const headers = {};
  const token = document.getElementById("token").value.trim().replace(/^bearer\s+/i, "");
  if (token) headers.Authorization = `Bearer ${token}`;
  for (const { parameter, input } of entries) if (parameter.in === "header" && input.value !== "") headers[parameter.name] = input.value;
  if (body) headers["Content-Type"] = body.type();
  output.hidden = false;
  output.textContent = "…";
  try {
    const started = performance.now();
    const answer = await fetch(target(path, entries), { method, headers, body: body ? body.value() : undefined, credentials: "omit" });
    const kind = answer.headers.get("content-type") || "";
    const text = /json|text|xml|csv/.test(kind) ? await answer.text() : `(${(await answer.blob()).size} bytes, ${kind || "empty"})`;
    const shown = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    output.textContent = `${answer.status} ${answer.statusText} · ${Math.round(performance.now() - started)} ms\n${shown}\n\n${pretty(text)}`;
  } catch (error) {
    output.textContent = `没有应答 No answer: ${error.message}`;
  }
  output.focus();
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function fill(holder, path, method, operation) {
  const entries = fields(operation, api.paths[path]);
  const body = bodyOf(operation);
  const output = element("pre", { hidden: true, tabIndex: -1 });
  output.setAttribute("aria-live", "polite");
  const form = element("form", {}, ...entries.map((entry) => entry.label), ...(body ? [body.label] : []),
    element("button", { textContent: "发送 Send" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(method.toUpperCase(), path, entries, body, output);
  });
  const answers = Object.entries(operation.responses || {}).map(([status, answer]) => `${status} ${answer.description}`).join(" · ");
  holder.append(element("p", { textContent: operation.description || "" }), element("p", { className: "note", textContent: answers }), form, output);
}

function entryOf(path, method, operation) {
  const summary = element("summary", {}, element("b", { textContent: method.toUpperCase() }), element("code", { textContent: path }),
    element("span", { textContent: (operation.description || operation.summary || "").split("\n")[0] }));
  const holder = element("div");
  const entry = element("details", {}, summary, holder);
  entry.dataset.words = `${method} ${path} ${operation.summary || ""} ${operation.description || ""}`.toLowerCase();
  // Filled when first opened: the page stays quick with hundreds of operations.
  entry.addEventListener("toggle", () => { if (entry.open && !holder.hasChildNodes()) fill(holder, path, method, operation); });
  return entry;
}

function show() {
  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      const service = path.split("/")[3];
      if (!groups.has(service)) groups.set(service, element("section", {}, element("h2", { textContent: service })));
      groups.get(service).append(entryOf(path, method, item[method]));
    }
  }
  document.getElementById("operations").replaceChildren(...groups.values());
}

function filter() {
  const words = document.getElementById("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const entry of document.querySelectorAll("details")) entry.hidden = !words.every((word) => entry.dataset.words.includes(word));
  for (const section of document.querySelectorAll("section")) section.hidden = !section.querySelector("details:not([hidden])");
}

async function start() {
  const status = document.getElementById("status");
  document.getElementById("filter").addEventListener("input", filter);
  document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
  try {
    api = await (await fetch("/openapi.json")).json();
    show();
    const missing = api.info["x-unavailable"] || [];
    const count = document.querySelectorAll("details").length;
    status.textContent = `${count} 个接口 operations${missing.length ? ` · 暂缺 unavailable: ${missing.join(", ")}` : ""}`;
  } catch (error) {
    status.textContent = `读取失败 Cannot read the description: ${error.message}`;
  }
}

start();
