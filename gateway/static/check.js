// The page behind the QR of a licence: four findings, each apart, as of a moment; also by the number and code on the paper.
"use strict";

const IDENTIFIER = "1.2.156.3005.2.";
const UNKNOWN = "没有查到这张证照。请核对二维码或编号与校验码; 查不到的不能作为凭证。";
const SIGNATURE = {
  good: ["good", "✓ 签名有效", "内容与签发时一致, 未被改动。"],
  broken: ["bad", "✗ 签名不符", "内容与签发时不一致, 不能信任。"],
  none: ["warn", "! 尚未签名", "由历史数据采集, 颁发机构尚未签发。"],
};
const TRUST = {
  A: ["good", "✓ 可信等级 A", "颁发机构制作并签章。"],
  B: ["good", "✓ 可信等级 B", "经窗口与原件核验。"],
  C: ["warn", "! 可信等级 C", "由上传件形成, 使用时须核对原件。"],
  D: ["warn", "! 可信等级 D", "自行制作, 由持证人承诺。"],
};
const VALIDITY = {
  within: ["good", "✓ 在有效期内"],
  not_yet: ["warn", "! 尚未生效"],
  over: ["bad", "✗ 已过有效期"],
};
const VALID = "01";

function finding(zh, bo, [tone, verdict, words], ...more) {
  const about = [words, ...more].filter(Boolean).map((line) => element("p", { textContent: line }));
  return element("li", {}, element("h3", {}, bilingual(zh, bo)), element("strong", { className: tone, textContent: verdict }), ...about);
}

function show(found) {
  document.getElementById("type").replaceChildren(bilingual(found.type_name.zh, found.type_name.bo));
  facts(document.getElementById("what"), [
    [bilingual("持证主体", "ལག་ཁྱེར་འཛིན་མཁན།"), found.holder_name],
    [bilingual("证件号码", "ཐོབ་ཐང་ལག་ཁྱེར་ཨང་གྲངས།"), found.holder_id_number],
    [bilingual("颁发日期", "སྤྲོད་པའི་ཚེས་གྲངས།"), found.issued_on],
    ["证照标识", found.identifier],
    [bilingual("查验时间", "བརྟག་དཔྱད་དུས་ཚོད།"), moment(found.as_of)],
  ]);
  const { signature, issuer, validity, status } = found;
  const standing = [status.code === VALID && !status.superseded ? "good" : "bad", `${status.code === VALID ? "✓" : "✗"} ${status.name}`];
  document.getElementById("findings").replaceChildren(
    finding("签名", "མིང་རྟགས།", SIGNATURE[signature.result], signature.kid && `密钥 ${signature.kid}`),
    finding("颁发机构", "སྤྲོད་མཁན་ལས་ཁུངས།", TRUST[issuer.trust] || ["warn", issuer.trust], issuer.name, issuer.code),
    finding("有效期", "ནུས་ལྡན་དུས་ཡུན།", VALIDITY[validity.result], `${validity.valid_from} 至 ${validity.valid_until || "长期"}`),
    finding("状态", "གནས་བབ།", standing, status.superseded ? "已有更新的版本, 本页所示的已被替换。" : "是现行版本。"),
  );
  document.getElementById("result").hidden = false;
  tell(`已查验, ${moment(found.as_of)}`);
}

// Wrong, malformed and unknown get one answer; only a fault of ours and too many tries are told apart.
function refuse(error) {
  document.getElementById("result").hidden = true;
  document.getElementById("other").open = true;
  const passing = !(error instanceof Refusal) || error.status >= 500;
  tell(error.status === 429 ? "查验过于频繁, 请稍后再试。" : passing ? "现在不能查验, 请稍后再试。" : UNKNOWN, true);
}

async function check(asked) {
  tell("正在查验…");
  try {
    show(await asked);
    return true;
  } catch (error) {
    refuse(error);
    return false;
  }
}

async function submit(event) {
  event.preventDefault();
  const number = document.getElementById("number").value.trim();
  const kind = document.getElementById("kind");
  const code = document.getElementById("code").value.trim();
  const byIdentifier = number.startsWith(IDENTIFIER);
  if (!byIdentifier && !kind.value) {
    tell("按证照编号查验, 请选择证照类型。", true);
    kind.focus();
    return;
  }
  const body = byIdentifier ? { identifier: number, code } : { type_code: kind.value, number, code };
  if (await check(call("POST", "/api/v1/licenses/checks", { body }))) document.getElementById("type").focus();
}

async function listTypes() {
  const kind = document.getElementById("kind");
  let cursor = "";
  do {
    const page = await call("GET", "/api/v1/licenses/types", { query: { limit: "200", cursor } });
    kind.append(...page.items.map((type) => element("option", { value: type.code, textContent: type.document.name.zh })));
    cursor = page.next;
  } while (cursor);
}

function start() {
  const other = document.getElementById("other");
  other.addEventListener("toggle", () => listTypes().catch(() => tell("现在读不到证照类型, 可以按证照标识查验。", true)), { once: true });
  document.getElementById("form").addEventListener("submit", submit);
  const qr_token = location.pathname.split("/")[2];
  if (qr_token) {
    check(call("GET", "/api/v1/licenses/checks/{qr_token}", { parts: { qr_token } }));
  } else {
    tell("扫描证照上的二维码, 或填写证照上的编号和校验码。");
    other.open = true;
  }
}

start();
