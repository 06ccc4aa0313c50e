// The page behind a rating link or QR code: shows what is rated, sends the rating once. Text is only ever set as text.
"use strict";

const token = location.pathname.split("/").pop();
const form = document.getElementById("form");
const status = document.getElementById("status");
const STAGES = { acceptance: "受理", closing: "办结", visit: "窗口服务" };
let invitation;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function tell(words, bad = false) {
  status.textContent = words;
  status.className = bad ? "bad" : "";
  status.focus?.();
}

function choice(type, name, value, words, change) {
  const input = element("input", { type, name, value, id: `${name}-${value}` });
  if (change) input.addEventListener("change", change);
  return element("label", { className: "choice", htmlFor: input.id }, input, words);
}

function chosen(name) {
  return [...form.querySelectorAll(`[name="${name}"]:checked`)].map((input) => input.value);
}

// The tags belong to the grade; the first are shown, the others under 更多.
function showTags() {
  const grade = invitation.grades.find((one) => String(one.grade) === chosen("grade")[0]);
  const tags = document.getElementById("tags");
  tags.replaceChildren(tags.querySelector("legend"));
  const offered = grade.tags.filter((tag) => tag.enabled);
  const box = (tag) => choice("checkbox", "tag", tag.code, tag.text);
  tags.append(...offered.filter((tag) => !tag.expanded).map(box));
  const more = offered.filter((tag) => tag.expanded).map(box);
  if (more.length) tags.append(element("details", {}, element("summary", { textContent: "更多" }), element("div", {}, ...more)));
  tags.hidden = false;
}

function describe() {
  const facts = [["事项", invitation.matter_name], ["环节", STAGES[invitation.stage]], ["大厅", invitation.hall],
    ["窗口", invitation.window], ["评价截止", invitation.open_until]];
  const shown = facts.filter(([, value]) => value);
  document.getElementById("what").append(...shown.flatMap(([name, value]) => [element("dt", { textContent: name }), element("dd", { textContent: value })]));
  document.getElementById("grades").append(...invitation.grades.map((one) => choice("radio", "grade", String(one.grade), one.text, showTags)));
  document.getElementById("contents").append(...Object.entries(invitation.contents).map(([name, words]) => {
    const select = element("select", { id: `content-${name}`, name: "content" }, element("option", { value: "", textContent: "—" }));
    select.append(...invitation.grades.map((one) => element("option", { value: String(one.grade), textContent: one.text })));
    select.dataset.content = name;
    return element("label", {}, words, select);
  }));
}

function rating() {
  const visit = invitation.stage === "visit";
  const contents = [...form.querySelectorAll("[name=content]")].filter((select) => select.value).map((select) => [select.dataset.content, Number(select.value)]);
  const text = document.getElementById("text").value.trim();
  return {
    token: invitation.rating_token || token,
    grade: Number(chosen("grade")[0]),
    tags: chosen("tag"),
    contents: Object.fromEntries(contents),
    pf: visit ? "3" : "7",
    sub_channel: visit ? "window_qr" : "sms_link",
    ...(text ? { text } : {}),
    ...(document.getElementById("anonymous").checked ? { real_name: false } : {}),
  };
}

function reason(problem) {
  return (problem.errors || []).map((fault) => fault.message).join("; ") || problem.detail || problem.title || "请稍后再试";
}

async function ask(path, options) {
  const answer = await fetch(`/api/v1/ratings/${path}`, options);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(reason(body));
  return body;
}

async function send(event) {
  event.preventDefault();
  if (!chosen("grade").length) {
    tell("请先选择满意程度。", true);
    form.querySelector("[name=grade]").focus();
    return;
  }
  const button = document.getElementById("send");
  button.disabled = true;
  try {
    await ask("ratings", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(rating()) });
    form.hidden = true;
    tell(Number(chosen("grade")[0]) <= 2 ? "谢谢! 承办单位会联系您核实, 并把整改结果告诉您。" : "谢谢您的评价!");
  } catch (error) {
    tell(`没有提交成功: ${error.message}`, true);
    button.disabled = false;
  }
}

async function open() {
  try {
    invitation = await ask(`invitations/${encodeURIComponent(token)}`, { headers: { "accept-language": navigator.language } });
  } catch (error) {
    tell(`这个链接不能评价: ${error.message}`, true);
    return;
  }
  if (invitation.rated) {
    tell("这次服务已经评价过了, 谢谢!");
    return;
  }
  describe();
  form.hidden = false;
  tell("一次服务评价一次, 约需一分钟。");
  form.addEventListener("submit", send);
}

open();
