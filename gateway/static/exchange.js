// The operator's view of the exchange: what is suspended, late, refused or different comes first. The token stays in memory.
"use strict";

const field = document.getElementById("token");
const SUBSCRIPTION = { pending: ["warn", "! 待握手"], active: ["good", "✓ 正常"], suspended: ["bad", "✗ 已暂停"], ended: ["", "已结束"] };
const RUN = {
  queued: ["", "排队"], needs_approval: ["bad", "✗ 待批准"], repairing: ["warn", "修复中"], waiting: ["warn", "等待对端"],
  closing: ["warn", "复核中"], signing: ["warn", "签署中"], finished: ["good", "✓ 完成"], failed: ["bad", "✗ 失败"],
};
const RESOURCES = { cases: "办件", licenses: "证照", supervision: "事项", ratings: "好差评" };
const SLOW = 600;

function read(path, query = {}) {
  return call("GET", path, { query, headers: { authorization: `Bearer ${field.value.trim().replace(/^Bearer\s+/i, "")}` } });
}

function span(seconds) {
  if (!seconds) return "无";
  if (seconds < 120) return `${seconds} 秒`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} 分钟` : `${Math.round(seconds / 3600)} 小时`;
}

function causes(counted) {
  const words = Object.entries(counted).sort(([, a], [, b]) => b - a).map(([cause, number]) => `${cause}: ${number}`).join("; ");
  return words ? element("span", { className: "causes", textContent: words }) : "—";
}

function state([tone, words]) {
  return element("span", { className: `nowrap ${tone}`, textContent: words });
}

// To the minute, as in "11-27 22:52".
function brief(iso) {
  return new Date(iso).toLocaleString("sv-SE", { timeZone: "Asia/Shanghai" }).slice(5, 16);
}

function when(words) {
  return element("span", { className: "nowrap", textContent: words });
}

// Red where a number is above what is quiet.
function number(value, quiet = Infinity) {
  const known = Number(value);
  return element("span", { className: known > quiet ? "number bad" : "number", textContent: known.toLocaleString("zh-CN") });
}

function fill(id, columns, rows) {
  const kind = (one) => (one.classList?.contains("number") ? "number" : "");
  const head = element("tr", {}, ...columns.map((name, place) => element("th", { scope: "col", className: rows.length ? kind(rows[0][place]) : "", textContent: name })));
  const body = rows.map((cells) => element("tr", {}, ...cells.map((one, place) => (place ? element("td", { className: kind(one) }, one) : element("th", { scope: "row" }, one)))));
  const empty = element("tr", {}, element("td", { colSpan: columns.length, textContent: "没有。" }));
  document.getElementById(id).replaceChildren(element("thead", {}, head), element("tbody", {}, ...(body.length ? body : [empty])));
}

function showSubscriptions(loads, details) {
  const reasons = new Map(details.map((one) => [one.id, one.reason]));
  const urgent = ["suspended", "pending", "active", "ended"];
  const sorted = [...loads].sort((a, b) => urgent.indexOf(a.state) - urgent.indexOf(b.state) || b.lag - a.lag);
  fill("subscriptions", ["对端 · 订阅", "状态", "积压", "在途", "失败重试", "死信", "失败起始", "原因"], sorted.map((one) => [
    `${one.peer_code} · ${one.name}`, state(SUBSCRIPTION[one.state] || ["", one.state]), number(one.lag), number(one.in_flight),
    number(one.failing, 0), number(one.dead, 0), one.failing_since ? when(brief(one.failing_since)) : "—", reasons.get(one.subscription_id) || "—",
  ]));
}

function showBatches(figures) {
  const sorted = [...figures].sort((a, b) => b.oldest_waiting_seconds - a.oldest_waiting_seconds || a.peer_code.localeCompare(b.peer_code));
  fill("batches", ["对端 · 数据", "收到", "接收", "无变化", "退回", "待核", "最久等待", "上报", "上报被退", "退回原因"], sorted.map((one) => [
    `${one.peer_code} · ${RESOURCES[one.resource] || one.resource}`, number(one.received), number(one.accepted), number(one.unchanged),
    number(one.rejected, 0), number(one.in_judgement), element("span", { className: one.oldest_waiting_seconds > SLOW ? "bad" : "", textContent: span(one.oldest_waiting_seconds) }),
    number(one.pushed), number(one.push_rejected, 0), causes({ ...one.rejected_by_rule, ...one.push_rejected_by_code }),
  ]));
}

function verdict(run) {
  if (run.equal === null) return run.failure || "—";
  return state(run.equal ? ["good", "✓ 一致"] : ["bad", "✗ 有差异"]);
}

function showRuns(runs) {
  fill("runs", ["数据", "状态", "结果", "遗留", "差异", "修复", "日期", "范围", "开始", "结束"], runs.map((run) => [
    `${run.peer_code} · ${RESOURCES[run.resource] || run.resource}`, state(RUN[run.state] || ["", run.state]), verdict(run),
    number(run.progress.residual || 0, 0), causes(run.progress.differences || {}), number(run.progress.repaired || 0),
    when(`${run.first_day} 至 ${run.last_day}`), run.only_windows ? "指纹" : "逐条", when(brief(run.created_at)), run.finished_at ? when(brief(run.finished_at)) : "—",
  ]));
}

function showTypes(types) {
  const sorted = [...types].sort((a, b) => a.peer_code.localeCompare(b.peer_code) || a.type.localeCompare(b.type));
  fill("types", ["对端", "事件类型", "发送", "确认", "失败原因"], sorted.map((one) => [
    one.peer_code, one.type, number(one.sent), number(one.acknowledged), causes(one.rejected),
  ]));
}

function card(words, value, tone, about) {
  return element("li", {}, element("h3", { textContent: words }), element("strong", { className: tone, textContent: value }), element("p", { className: "note", textContent: about }));
}

function glance(statistics, figures, runs) {
  const loads = statistics.subscriptions;
  const count = (list, test) => list.filter(test).length;
  const sum = (list, name) => list.reduce((total, one) => total + one[name], 0);
  const suspended = count(loads, (one) => one.state === "suspended");
  const dead = sum(loads, "dead");
  const longest = Math.max(0, ...figures.map((one) => one.oldest_waiting_seconds));
  const troubled = count(runs || [], (run) => run.equal === false || ["failed", "needs_approval"].includes(run.state));
  const mark = (number) => (number ? `✗ ${number}` : "✓ 0");
  const tone = (number) => (number ? "bad" : "good");
  document.getElementById("glance").replaceChildren(
    card("暂停的订阅", mark(suspended), tone(suspended), `共 ${loads.length} 个, 最大积压 ${Math.max(0, ...loads.map((one) => one.lag))}`),
    card("死信", mark(dead), tone(dead), `在途 ${sum(loads, "in_flight")}, 失败重试 ${sum(loads, "failing")}`),
    card("待核最久", `${longest > SLOW ? "✗" : "✓"} ${span(longest)}`, longest > SLOW ? "bad" : "good", `待核 ${sum(figures, "in_judgement")}, 退回 ${sum(figures, "rejected")}`),
    runs ? card("对账需处理", mark(troubled), tone(troubled), `最近 ${runs.length} 次`) : card("对账", "—", "", "只有管理员可以看"),
  );
}

async function listSubscriptions() {
  const found = [];
  let cursor = "";
  do {
    const page = await read("/api/v1/exchange/subscriptions", { limit: "200", cursor });
    found.push(...page.items);
    cursor = page.next;
  } while (cursor);
  return found;
}

// A peer's own system may not see everything: what it may not is null, and everything else is shown.
async function allowed(reading) {
  try {
    return await reading;
  } catch (error) {
    if (error.status === 403) return null;
    throw error;
  }
}

async function load(event) {
  event.preventDefault();
  tell("正在读取…");
  try {
    const [statistics, figures, runs, details] = await Promise.all([
      read("/api/v1/exchange/statistics"), read("/api/v1/exchange/statistics/batches"),
      read("/api/v1/exchange/reconciliations", { limit: "20" }), listSubscriptions(),
    ].map(allowed));
    if (!statistics && !figures) throw new Refusal(403, {});
    const sent = statistics || { head: 0, subscriptions: [], types: [] };
    glance(sent, figures || [], runs?.items);
    showSubscriptions(sent.subscriptions, details || []);
    showBatches(figures || []);
    showRuns(runs?.items || []);
    showTypes(sent.types);
    document.getElementById("main").hidden = false;
    tell(`${moment(new Date().toISOString())} 读取; 事件日志到第 ${sent.head} 条。`);
  } catch (error) {
    document.getElementById("main").hidden = true;
    tell(error.status === 401 ? "令牌无效或已过期。" : error.status === 403 ? "这个令牌无权查看交换状态。" : `读取失败: ${error.message}`, true);
  }
}

document.getElementById("form").addEventListener("submit", load);
