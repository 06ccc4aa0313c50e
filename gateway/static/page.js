// What the pages share: elements whose text is only ever set as text, and calls of the API by the paths of its contract.
"use strict";

// 差评原因, as tickets code them.
const CAUSES = {
  attitude: "服务态度", skill: "业务不熟", overdue: "超过时限", extra_materials: "额外要求材料", guide_wrong: "办事指南有误", system_fault: "系统故障",
  repeated_visits: "多次跑动", fees: "收费问题", venue: "场地设施", policy: "政策本身", misunderstanding: "存在误解", other: "其他",
};

class Refusal extends Error {
  constructor(status, problem) {
    super((problem.errors || []).map((fault) => fault.message).join("; ") || problem.detail || problem.title || "请稍后再试");
    this.status = status;
    this.code = problem.code;
  }
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function tell(words, bad = false) {
  const status = document.getElementById("status");
  status.textContent = words;
  status.className = bad ? "bad" : "";
}

// Terms and their descriptions; what is not known is left out.
function facts(list, pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  list.replaceChildren(...known.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  return list;
}

function choice(type, name, value, words, change) {
  const input = element("input", { type, name, value, id: `${name}-${value}` });
  if (change) input.addEventListener("change", change);
  return element("label", { className: "choice", htmlFor: input.id }, input, words);
}

// Chinese with Tibetan beside it, each read in its own language.
function bilingual(zh, bo) {
  const parts = document.createDocumentFragment();
  parts.append(zh, ...(bo ? [" ", element("span", { lang: "bo", textContent: bo })] : []));
  return parts;
}

function moment(iso) {
  return new Date(iso).toLocaleString("zh-CN", { timeZone: "Asia/Shanghai", hour12: false });
}

// The address of an operation: `path` as in the OpenAPI document, its {names} filled from `parts`, empty values left out.
function address(path, { parts = {}, query = {} } = {}) {
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(parts[name]));
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  return asked ? `${filled}?${asked}` : filled;
}

async function call(method, path, { parts, query, headers = {}, body } = {}) {
  const content = body === undefined ? {} : { body: JSON.stringify(body) };
  const sent = { "accept-language": navigator.language, ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers };
  const answer = await fetch(address(path, { parts, query }), { method, headers: sent, ...content });
  const read = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refusal(answer.status, read);
  return read;
}
