// Shows a model's result by its kinds: pictures, rows with bars; the rest as names and values.

import { bytes, element, percent } from "./dom.js";

const MANY = 8; // rows; beyond, the list scrolls

// By kind: the fields of a result that it covers, and the rows made of them.
const ROWS = {
  class: [["classes"], ({ classes }) => classes.map(classRow)],
  label: [["label", "probability"], ({ label, probability }) => [{ label, share: probability }]],
  box: [["boxes"], ({ boxes }) => boxes.map(boxRow)],
  point: [["points"], ({ points }) => points.map(pointRow)],
  reason: [["reasons"], ({ reasons }) => reasonRows(reasons)],
};

/**
 * Make the elements that show an answer. kinds: of the result. drawing: a Blob, or null.
 * description: of the picture. name: of the model.
 * Returns { parts, sentence: for those who cannot see them }.
 */
export async function present({ kinds, result, drawing, description, name }) {
  const picture = result instanceof Blob ? result : drawing;
  const parts = picture ? [await figure(picture, description, name)] : [];
  if (result instanceof Blob) return { parts, sentence: "The picture is here." };
  const known = Object.keys(ROWS).filter((kind) => kinds.includes(kind));
  const lists = known.map((kind) => ({ kind, rows: ROWS[kind][1](result) }));
  const covered = known.flatMap((kind) => ROWS[kind][0]);
  const rest = Object.entries(result).filter(([field]) => !covered.includes(field));
  parts.push(...lists.flatMap(section));
  if (rest.length || !known.length) parts.push(value(Object.fromEntries(rest)));
  return { parts, sentence: lists.length ? firstOf(lists[0].rows) : "The answer is here." };
}

/** The result as text; pictures in it are cut short. */
export function asJson(result) {
  const short = (_, value) =>
    isPicture(value) ? `${value.slice(0, 40)}… (${bytes(value.length)})` : value;
  return JSON.stringify(result, short, 2);
}

const isPicture = (json) => typeof json === "string" && json.startsWith("data:image/");

function firstOf([first, ...others]) {
  if (!first) return "Nothing was found.";
  const share = first.share == null ? "" : `, ${percent(first.share)}`;
  return `${others.length ? `First of ${others.length + 1}: ` : ""}${first.label}${share}.`;
}

// --- rows: { label, note, share: 0 to 1 or null, figure: instead of the share, against }

function classRow({ label, probability }) {
  const [first, ...synonyms] = label.split(", ");
  return { label: first, note: synonyms.map((synonym) => `, ${synonym}`).join(""), share: probability };
}

const boxRow = ({ label, score, ...edges }) => ({ label, share: score, note: inLine(edges) });

const pointRow = ({ label, ...position }) => ({ label, note: inLine(position) });

function reasonRows(reasons) {
  const heaviest = Math.max(...reasons.map(({ weight }) => Math.abs(weight)));
  return reasons.map(({ text: words, weight }) => ({
    label: words,
    share: Math.abs(weight) / (heaviest || 1),
    figure: `${weight > 0 ? "+" : "−"}${Math.abs(weight).toFixed(2)}`,
    against: weight < 0,
  }));
}

const inLine = (fields) =>
  Object.entries(fields)
    .filter(([, inner]) => inner !== null)
    .map(([name, inner]) => ` ${name} ${text(inner)}`)
    .join("");

function section({ kind, rows }) {
  if (kind !== "reason") return [rows.length ? bars(rows) : element("p", {}, "Nothing was found.")];
  return rows.length ? [element("h3", {}, "What weighed most"), bars(rows)] : [];
}

function bars(rows) {
  const items = rows.map(({ label, note, share, figure: words, against }) => {
    const name = element("span", { className: "label" }, label);
    if (note) name.append(element("small", {}, note));
    const item = element("li", { className: against ? "against" : "" }, name);
    if (share == null) return item;
    const fill = element("i");
    fill.style.setProperty("--share", share);
    item.append(
      element("span", { className: "share" }, words ?? percent(share)),
      element("span", { className: "bar", ariaHidden: "true" }, fill),
    );
    return item;
  });
  const list = element("ol", { className: "ranking" }, ...items);
  if (rows.length > MANY) {
    list.classList.add("long");
    list.tabIndex = 0; // scrollable, so reachable with the keyboard
  }
  return list;
}

// --- pictures

async function figure(picture, description, name) {
  const url = URL.createObjectURL(picture);
  const image = element("img", { src: url, alt: description });
  await image.decode().catch(() => {}); // else the page would jump when its size is known
  const size = `${image.naturalWidth} × ${image.naturalHeight} pixels, ${bytes(picture.size)}`;
  const download = `${name}.${picture.type.split("/")[1].replace("jpeg", "jpg")}`;
  const save = element("a", { className: "button", href: url, download }, "Save");
  const caption = element("figcaption", {}, element("span", { className: "caption" }, size), save);
  return element("figure", {}, image, caption);
}

// --- anything else

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
  if (isPicture(json)) return element("img", { src: json, alt: "Picture in the answer" });
  return element("span", { className: "scalar" }, text(json));
}

function text(json) {
  const fraction = typeof json === "number" && !Number.isInteger(json);
  return String(fraction ? Number(json.toPrecision(6)) : json);
}
