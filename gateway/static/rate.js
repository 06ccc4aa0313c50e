// The page behind a rating link or QR code: shows what is rated, sends the rating once; then what was done about a bad one,
// and takes the rater's judgement of it. Text is only ever set as text.
"use strict";

const token = location.pathname.split("/").pop();
const form = document.getElementById("form");
const STAGES = { acceptance: "受理", closing: "办结", visit: "窗口服务" };
const STATES = {
  open: "已收到, 正在核实", reopened: "已收到您的再评价, 正在重新处理", verified: "已核实", called_back: "已与您联系",
  rectifying: "正在整改", rectified: "已整改", explained: "已解释说明", closed: "已办结", excluded: "经复核, 本次评价不计入统计",
};
const REFUSALS = {
  token_forged: "链接不完整或不是本平台的", token_foreign: "链接不属于这次服务", token_expired: "评价时间已过, 窗口的二维码请重新扫", already_rated: "这次服务已经评价过了",
  code_used_up: "这个二维码已用过, 请扫窗口现在显示的", not_found: "没有这次服务", too_many_requests: "操作过于频繁, 请稍后再试",
  stale_version: "处理情况刚有变化, 请看最新的结果", conflict: "现在不能再评价",
};
let invitation;

// Why it was refused, in her language where it is known.
function why(error) {
  return REFUSALS[error.code] || error.message;
}

function chosen(holder, name) {
  return [...holder.querySelectorAll(`[name="${name}"]:checked`)].map((input) => input.value);
}

// The tags belong to the grade; the first are shown, the others under 更多.
function showTags() {
  const grade = invitation.grades.find((one) => String(one.grade) === chosen(form, "grade")[0]);
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
  const grades = document.getElementById("grades");
  facts(document.getElementById("what"), [["事项", invitation.matter_name], ["环节", STAGES[invitation.stage]], ["大厅", invitation.hall],
    ["窗口", invitation.window], ["评价截止", invitation.rated ? null : invitation.open_until]]);
  grades.append(...invitation.grades.map((one) => choice("radio", "grade", String(one.grade), one.text, showTags)));
  document.getElementById("contents").append(...Object.entries(invitation.contents).map(([name, words]) => {
    const select = element("select", { id: `content-${name}`, name: "content" }, element("option", { value: "", textContent: "—" }));
    select.append(...invitation.grades.map((one) => element("option", { value: String(one.grade), textContent: one.text })));
    select.dataset.content = name;
    return element("label", {}, words, select);
  }));
}

// A window's code is used by one phone: a name made up here, which says nothing of her and stays on the phone.
function phone() {
  const made = crypto.getRandomValues(new Uint32Array(4)).join("-");
  try {
    const kept = localStorage.getItem("phone") || made;
    localStorage.setItem("phone", kept);
    return kept;
  } catch {
    return made;
  }
}

function rating() {
  const visit = invitation.stage === "visit";
  const contents = [...form.querySelectorAll("[name=content]")].filter((select) => select.value).map((select) => [select.dataset.content, Number(select.value)]);
  const text = document.getElementById("text").value.trim();
  return {
    token: invitation.rating_token || token,
    ...(invitation.rating_token ? { device: phone() } : {}),
    grade: Number(chosen(form, "grade")[0]),
    tags: chosen(form, "tag"),
    contents: Object.fromEntries(contents),
    pf: visit ? "3" : "7",
    sub_channel: visit ? "window_qr" : "sms_link",
    ...(text ? { text } : {}),
    ...(document.getElementById("anonymous").checked ? { real_name: false } : {}),
  };
}

async function send(event) {
  event.preventDefault();
  if (!chosen(form, "grade").length) {
    tell("请先选择满意程度。", true);
    form.querySelector("[name=grade]").focus();
    return;
  }
  const button = document.getElementById("send");
  button.disabled = true;
  try {
    await call("POST", "/api/v1/ratings/ratings", { body: rating() });
    form.hidden = true;
    const kept = invitation.rating_token ? "" : " 请保留这个链接, 之后可以在这里查看结果并再评价。";
    tell(Number(chosen(form, "grade")[0]) <= 2 ? `谢谢! 承办单位会联系您核实, 并把整改结果告诉您。${kept}` : "谢谢您的评价!");
  } catch (error) {
    tell(`没有提交成功: ${why(error)}`, true);
    button.disabled = false;
  }
}

function nameOf(grade) {
  return invitation.grades.find((one) => one.grade === grade)?.text;
}

function showOutcome(outcome) {
  const satisfied = { true: "满意", false: "不满意" }[outcome.satisfied];
  facts(document.getElementById("done"), [
    ["您的评价", nameOf(outcome.grade)],
    ["办理进度", STATES[outcome.state]],
    ["差评原因", CAUSES[outcome.root_cause]],
    [outcome.explained ? "解释说明" : "整改措施", outcome.action],
    [outcome.explained ? "说明日期" : "整改日期", outcome.rectified_on],
    ["您的再评价", nameOf(outcome.regrade) || satisfied],
    ["办结日期", outcome.closed_on],
  ]);
  document.getElementById("outcome").hidden = false;
  document.getElementById("judge").hidden = !outcome.can_rerate;
}

function readOutcome() {
  const parts = { ticket_id: invitation.ticket.id };
  return call("GET", "/api/v1/ratings/tickets/{ticket_id}/outcome", { parts, headers: { "rating-token": token } });
}

async function judge(event, outcome) {
  event.preventDefault();
  const [grade] = chosen(event.target, "regrade");
  if (!grade) {
    tell("请先选择满意程度。", true);
    event.target.querySelector("[name=regrade]").focus();
    return outcome;
  }
  const headers = { "rating-token": token, "if-match": `"${outcome.revision}"` };
  const button = document.getElementById("send-judgement");
  button.disabled = true;
  try {
    const parts = { ticket_id: outcome.id };
    const judged = await call("POST", "/api/v1/ratings/tickets/{ticket_id}/re-rating", { parts, headers, body: { grade: Number(grade) } });
    showOutcome(judged);
    tell(judged.satisfied ? "谢谢您的再评价!" : "已收到。承办单位会重新处理一次, 结果仍在这里。");
    document.getElementById("handling").focus();
    return judged;
  } catch (error) {
    const fresh = await readOutcome().catch(() => outcome);
    showOutcome(fresh);
    tell(`没有提交成功: ${why(error)}`, true);
    return fresh;
  } finally {
    button.disabled = false;
  }
}

async function openOutcome() {
  let outcome = await readOutcome();
  const grades = invitation.grades.map((one) => choice("radio", "regrade", String(one.grade), one.text));
  document.getElementById("regrades").append(...grades);
  document.getElementById("judge").addEventListener("submit", async (event) => { outcome = await judge(event, outcome); });
  describe();
  showOutcome(outcome);
  tell(outcome.can_rerate ? "您的评价已处理, 请看结果并再评价。" : "您评价过这次服务, 处理情况如下。");
}

async function start() {
  try {
    invitation = await call("GET", "/api/v1/ratings/invitations/{token}", { parts: { token } });
    if (invitation.rated && invitation.ticket) return await openOutcome();
  } catch (error) {
    return tell(`这个链接不能评价: ${why(error)}`, true);
  }
  if (invitation.rated) return tell("这次服务已经评价过了, 谢谢!");
  describe();
  form.hidden = false;
  tell("一次服务评价一次, 约需一分钟。");
  return form.addEventListener("submit", send);
}

start();
