// Shows a model's result: ranked labels as bars, anything else as names and values.

import { element, percent } from "./dom.js";

const SHARES = ["probability", "confidence"];
const MANY = 8; // rows; beyond, the list scrolls

/** Show a result in that element. Returns one sentence for those who cannot see it. */
export function show(into, result) {
  const found = ranking(result);
  if (!found) {
    into.replaceChildren(value(result));
    return "The answer is here.";
  }
  const rest = Object.entries(result).filter(([name]) => name !== found.name);
  into.replaceChildren(bars(found.items));
  if (rest.length) into.append(value(Object.fromEntries(rest)));
  const [first] = found.items;
  return `First of ${found.items.length}: ${first.label}, ${percent(first.share)}.`;
}

/** The list in a result whose objects have a label and a share, best first; null if it has none. */
export function ranking(result) {
  for (const [name, list] of Object.entries(result ?? {})) {
    if (!Array.isArray(list) || !list.length) continue;
    const share = SHARES.find((key) => list.every((item) => isShare(item?.[key])));
    if (!share || !list.every((item) => typeof item.label === "string")) continue;
    const items = list.map((item) => ({ label: item.label, share: item[share] }));
    return { name, items: items.sort((a, b) => b.share - a.share) };
  }
  return null;
}

const isShare = (number) => typeof number === "number" && number >= 0 && number <= 1;

function bars(items) {
  const rows = items.map(({ label, share }) => {
    const [name, ...synonyms] = label.split(", ");
    const text = element("span", { className: "label" }, name);
    if (synonyms.length) text.append(element("small", {}, `, ${synonyms.join(", ")}`));
    const fill = element("i");
    fill.style.setProperty("--share", share);
    const bar = element("span", { className: "bar", ariaHidden: "true" }, fill);
    return element("li", {}, text, element("span", { className: "share" }, percent(share)), bar);
  });
  const list = element("ol", { className: "ranking" }, ...rows);
  if (rows.length > MANY) {
    list.classList.add("long");
    list.tabIndex = 0; // scrollable, so reachable with the keyboard
  }
  return list;
}

/** Any JSON value as elements. */
function value(json) {
  if (json === null || typeof json !== "object") return scalar(json);
  if (!Array.isArray(json)) {
    const pairs = Object.entries(json).map(([name, inner]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value(inner))),
    );
    return element("dl", { className: "pairs" }, ...pairs);
  }
  if (!json.length) return element("span", { className: "scalar" }, "none");
  if (json.every((item) => item === null || typeof item !== "object")) {
    return element("span", { className: "scalar" }, json.map(text).join(", "));
  }
  const items = json.map((item) => element("li", {}, value(item)));
  return element("ol", { className: "list" }, ...items);
}

function scalar(json) {
  if (typeof json === "string" && json.startsWith("data:image/")) {
    return element("img", { src: json, alt: "Picture in the answer" });
  }
  return element("span", { className: "scalar" }, text(json));
}

function text(json) {
  const fraction = typeof json === "number" && !Number.isInteger(json);
  return String(fraction ? Number(json.toPrecision(6)) : json);
}
