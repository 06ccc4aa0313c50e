// What is published of 好差评: rates with what they rest on, and ratings with what was done about the bad ones.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const HIDDEN = {
  personal_data: "含个人信息", insult: "含辱骂", advertisement: "含广告", unlawful: "含违法内容", unrelated: "与服务无关",
};
const DIMENSIONS = { area: "地区", department: "部门", month: "月份" };
const known = { areas: new Map(), departments: new Map(), grades: new Map(), tags: new Map() };
const filter = Object.fromEntries(["area", "department", "month"].map((name) => [name, document.getElementById(name)]));
let asked = 0;

function drawn(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function percent(value) {
  return value === null ? "—" : `${(value * 100).toFixed(1)}%`;
}

function cell(rate) {
  return element("td", { className: "number" }, percent(rate.value), element("small", { textContent: `${rate.numerator} / ${rate.denominator}` }));
}

// The good rate as a bar, between two lines where the true rate lies; the words beside it say the same.
function goodRate({ good, good_bounds: bounds }) {
  if (good.value === null) return element("td", {}, "—");
  const bar = drawn("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", class: "rate", "aria-hidden": "true" });
  bar.append(drawn("rect", { class: "track", width: 100, height: 10 }), drawn("rect", { class: "value", y: 2, width: good.value * 100, height: 6 }));
  for (const place of [bounds.low * 100, bounds.high * 100]) bar.append(drawn("line", { class: "bounds", x1: place, x2: place, y1: 0, y2: 10 }));
  const range = `${percent(bounds.low)} – ${percent(bounds.high)} · ${good.numerator} / ${good.denominator}`;
  return element("td", {}, percent(good.value), bar, element("small", { textContent: range }));
}

function nameOf(dimension, value) {
  const names = { area: known.areas, department: known.departments }[dimension];
  const name = names?.get(value);
  return name ? bilingual(name.zh, name.bo) : value;
}

function row(group, dimension, least) {
  const head = element("th", { scope: "row" }, nameOf(dimension, group.group[dimension]));
  if (group.figures === null) return element("tr", {}, head, element("td", { colSpan: 6, textContent: `每月都不足 ${least} 件, 不公布` }));
  const { figures } = group;
  const rest = [figures.satisfaction, figures.rectified, figures.rectified_in_time, figures.satisfied_after].map(cell);
  return element("tr", {}, head, goodRate(figures), element("td", { className: "number", textContent: figures.rated.toLocaleString("zh-CN") }), ...rest);
}

function question() {
  const month = filter.month.value;
  const dimension = filter.department.value ? "month" : filter.area.value ? "department" : "area";
  return { group_by: dimension, area: filter.area.value, department: filter.department.value, first: month, last: month };
}

function offer(id, cursor, load) {
  const button = document.getElementById(id);
  button.hidden = !cursor;
  button.onclick = cursor ? () => load(cursor) : null;
}

function showFigures(found, dimension, cursor) {
  document.getElementById("dimension").textContent = DIMENSIONS[dimension];
  document.getElementById("caption").textContent = `${found.first} 至 ${found.last}, 按${DIMENSIONS[dimension]}`;
  const rows = found.groups.map((group) => row(group, dimension, found.least));
  const groups = document.getElementById("groups");
  if (cursor) groups.append(...rows);
  else groups.replaceChildren(...rows);
  document.getElementById("table").hidden = !groups.hasChildNodes();
  const rate = (one) => `${percent(one.value)} (${one.numerator} / ${one.denominator})`;
  facts(document.getElementById("total"), [["有效评价", found.total.rated.toLocaleString("zh-CN")], ["好评率", rate(found.total.good)], ["评价率", rate(found.total.participation)],
    ["差评整改率", rate(found.total.rectified)], ["部门覆盖率", rate(found.coverage)]]);
  const rule = `为保护评价人, 一个部门一个月的有效评价不足 ${found.least} 件时不公布其数字, 也不计入任何合计; 月份结束后公布。`;
  document.getElementById("withheld").textContent = found.complete ? rule : `${rule} 本次查询有数字因此未列入。`;
}

function showNoFigures(why) {
  for (const id of ["groups", "total"]) document.getElementById(id).replaceChildren();
  document.getElementById("table").hidden = true;
  document.getElementById("withheld").textContent = why;
  offer("more-groups", null);
}

async function loadFigures(cursor = "") {
  const [query, turn] = [question(), asked];
  const running = filter.month.value === months(1)[0];
  const csv = document.getElementById("csv");
  csv.href = address("/api/v1/ratings/published/statistics.csv", { query });
  csv.hidden = running;
  if (running) return showNoFigures("这个月的数字在月份结束后公布。");
  try {
    const found = await call("GET", "/api/v1/ratings/published/statistics", { query: { ...query, cursor } });
    if (turn !== asked) return undefined;
    showFigures(found, query.group_by, cursor);
    return offer("more-groups", found.next, loadFigures);
  } catch (error) {
    return turn === asked ? showNoFigures(`读取失败: ${error.message}`) : undefined;
  }
}

function rectification(done) {
  if (!done) return [];
  const judged = { true: "满意", false: "不满意" }[done.satisfied] || "未再评价";
  return [facts(element("dl"), [["原因", CAUSES[done.root_cause]], [done.explained ? "解释说明" : "整改措施", done.action],
    [done.explained ? "说明日期" : "整改日期", `${done.rectified_on} (${done.in_time ? "按期" : "逾期"})`], ["评价人再评价", judged]])];
}

function rated(one) {
  const words = one.text_withheld ? [element("p", { className: "note", textContent: `意见不公开: ${HIDDEN[one.text_withheld] || one.text_withheld}` })]
    : [one.text, ...one.supplements].filter(Boolean).map((text) => element("p", { textContent: `「${text}」` }));
  const tags = one.tags.map((code) => known.tags.get(code) || code).join("、");
  const bad = one.grade <= 2;
  const heading = element("h3", {}, element("span", { className: bad ? "bad" : "good", textContent: known.grades.get(one.grade) || `${one.grade} 星` }),
    ` · ${one.matter_name || "窗口服务"}`);
  const where = element("p", { className: "note" }, `${one.name} · ${one.month} · `, nameOf("department", one.department_code));
  const pending = bad && !one.rectification ? [element("p", { className: "warn", textContent: "尚无整改结果。" })] : [];
  return element("article", {}, heading, where, ...(tags ? [element("p", { textContent: tags })] : []), ...words, ...rectification(one.rectification), ...pending);
}

async function loadRatings(cursor = "") {
  const turn = asked;
  const query = { area: filter.area.value, department: filter.department.value, rated: filter.month.value, limit: "20", cursor };
  try {
    const page = await call("GET", "/api/v1/ratings/published", { query });
    if (turn !== asked) return;
    const list = document.getElementById("list");
    const found = page.items.map(rated);
    if (cursor) list.append(...found);
    else list.replaceChildren(...(found.length ? found : [element("p", { textContent: "没有这样的评价。" })]));
    offer("more-ratings", page.next, loadRatings);
    tell(`已列出 ${list.querySelectorAll("article").length} 条评价${page.next ? ", 还有更多" : ""}`);
  } catch (error) {
    if (turn === asked) tell(`读取失败: ${error.message}`, true);
  }
}

async function load() {
  asked += 1;
  await Promise.all([loadFigures(), loadRatings()]);
}

function listDepartments() {
  const entries = [...known.departments.values()].filter((one) => !filter.area.value || one.area === filter.area.value);
  const options = entries.map((one) => element("option", { value: one.code, textContent: one.zh }));
  filter.department.replaceChildren(filter.department.options[0], ...options);
  filter.department.value = "";
}

// This month and those before it, the newest first.
function months(many) {
  const [year, month] = new Date().toLocaleDateString("sv-SE", { timeZone: "Asia/Shanghai" }).split("-").map(Number);
  return Array.from({ length: many }, (_, back) => {
    const number = year * 12 + month - 1 - back;
    return `${Math.floor(number / 12)}-${String((number % 12) + 1).padStart(2, "0")}`;
  });
}

async function start() {
  filter.month.append(...months(24).map((text) => element("option", { value: text, textContent: text })));
  try {
    const [areas, departments, dictionary] = await Promise.all([
      call("GET", "/api/v1/matters/areas"), call("GET", "/api/v1/matters/departments"), call("GET", "/api/v1/ratings/tags"),
    ]);
    for (const one of areas) known.areas.set(one.code, one.name);
    for (const one of departments) known.departments.set(one.code, { ...one.name, code: one.code, area: one.area_code });
    for (const one of dictionary.grades) {
      known.grades.set(one.grade, one.text);
      for (const tag of one.tags) known.tags.set(tag.code, tag.text);
    }
  } catch {
    tell("现在读不到地区和部门的名称。", true);
  }
  filter.area.append(...[...known.areas].map(([code, name]) => element("option", { value: code, textContent: name.zh })));
  listDepartments();
  filter.area.addEventListener("change", () => { listDepartments(); load(); });
  for (const one of [filter.department, filter.month]) one.addEventListener("change", load);
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  await load();
}

start();
