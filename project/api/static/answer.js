// The panel of the answer: a result by its kinds (rows with bars, pictures; the rest as names and
// values), where its time went, or a problem.

import { button, byId, bytes, copy, element, milliseconds, percent, when } from "./dom.js";
import { showInputFaults } from "./inputs.js";
import { showFaults } from "./parameters.js";
import { resultKinds } from "./schema.js";

const MANY = 6; // rows with a bar each; beyond, they are set closer
const EDGES = ["label", "score", "x1", "y1", "x2", "y2"];

let counting = null; // the timer of a Run button that has to wait

/**
 * Show a result that is JSON. What is there already is changed in place, so that a list that is
 * read or focused stays where it is. onLight(number or null): a row of a box is pointed at.
 * Returns { sentence: for those who cannot see it, brief: the same without figures, shapes: { boxes,
 * points } }.
 */
export function show(into, schema, result, onLight = () => {}) {
  const { found, rest } = resultKinds(schema ?? {}, result);
  const free = found.point.filter(({ box }) => box == null);
  const listed = { ...found, point: free };
  const kinds = Object.keys(ROWS).filter((kind) => listed[kind].length);
  const sections = kinds.map((kind) => [
    kind,
    listed[kind].map((item, index) => ROWS[kind](item, index, found)),
  ]);
  if (found.reason.length) sections.push(["reason", reasonRows(found.reason)]);
  if (rest !== undefined && Object.keys(rest).length) sections.push(["rest", rest]);
  if (!sections.length) sections.push(["rest", "Nothing was found."]);
  const there = new Map([...into.children].map((child) => [child.dataset.kind, child]));
  const parts = sections.map(([kind, content]) => {
    const part = there.get(kind) ?? section(kind, onLight);
    if (kind === "rest") fillRest(part, content);
    else fillRows(part.querySelector("ol"), content);
    return part;
  });
  if (parts.some((part, index) => into.children[index] !== part) || parts.length < there.size) {
    into.replaceChildren(...parts);
  }
  const [sentence, brief] = sentencesOf(sections, found);
  return { sentence, brief, shapes: { boxes: found.box, points: found.point } };
}

/** A result that is a picture, as a figure. source: { url, file } of what it was made from, if any. */
export async function figureOf(blob, description, source) {
  const url = URL.createObjectURL(blob);
  const image = element("img", { src: url, alt: description });
  await image.decode().catch(() => {}); // else the page would jump when its size is known
  const view = source ? compare(image, source) : image;
  const size = `${image.naturalWidth} × ${image.naturalHeight} pixels, ${bytes(blob.size)}`;
  const caption = element("figcaption", { className: "caption" }, size);
  return element("figure", {}, view, caption);
}

/** The result as text; pictures in it are cut short. */
export function asJson(result) {
  const short = (_, value) =>
    isPicture(value) ? `${value.slice(0, 40)}… (${bytes(value.length)})` : value;
  return JSON.stringify(result, short, 2);
}

const isPicture = (json) => typeof json === "string" && json.startsWith("data:image/");

function sentencesOf([[kind, rows]], { box }) {
  if (kind === "box") {
    const counts = Map.groupBy ? Map.groupBy(box, ({ label }) => label) : new Map([["object", box]]);
    const words = [...counts].map(([label, { length }]) => `${length} ${label}${length > 1 ? "s" : ""}`);
    return [`${words.join(", ")}; first ${percent(box[0].score)}.`, `${words.join(", ")}.`];
  }
  if (kind === "rest") return Array(2).fill(typeof rows === "string" ? rows : "The answer is here.");
  const [{ label, share }] = rows;
  const first = `${label}${share == null ? "" : `, ${percent(share)}`}.`;
  return [rows.length > 1 ? `First of ${rows.length}: ${first}` : first, `${label}.`];
}

// --- rows: { number, label, note, share: 0 to 1 or null, figure: in place of the share, side }

function classRow({ label, probability }) {
  const [first, ...synonyms] = label.split(", ");
  return { label: first, note: synonyms.map((synonym) => `, ${synonym}`).join(""), share: probability };
}

const labelRow = ({ label, probability }) => ({ label, share: probability });

function boxRow({ label, score, x1, y1, x2, y2, ...own }, index, { point }) {
  const size = `${Math.round(x2 - x1)} × ${Math.round(y2 - y1)} at ${Math.round(x1)}, ${Math.round(y1)}`;
  const points = point.filter(({ box }) => box === index).map(({ label: name }) => name);
  const extra = inLine(own);
  const note = [size, points.join(", "), extra].filter(Boolean).join(" · ");
  return { number: index + 1, label, note, share: score };
}

const pointRow = ({ label, x, y, box, ...own }) => ({
  label,
  note: [`${text(x)}, ${text(y)}`, inLine(own)].filter(Boolean).join(" · "),
});

function reasonRows(reasons) {
  const heaviest = Math.max(...reasons.map(({ weight }) => Math.abs(weight))) || 1;
  return reasons.map(({ text: words, weight }) => ({
    label: words,
    share: Math.abs(weight) / heaviest,
    figure: `${weight > 0 ? "+" : "−"}${Math.abs(weight).toFixed(2)}`,
    side: weight < 0 ? "against" : "for",
  }));
}

const inLine = (fields) =>
  Object.entries(fields)
    .filter(([name, inner]) => inner !== null && !EDGES.includes(name))
    .map(([name, inner]) => `${name} ${text(inner)}`)
    .join(" ");

const ROWS = { label: labelRow, class: classRow, box: boxRow, point: pointRow };

function section(kind, onLight) {
  if (kind === "rest") return element("div", { className: "rest" });
  const list = element("ol", { className: `ranking of-${kind}` });
  const part = element("section", {}, list);
  part.dataset.kind = kind;
  if (kind === "reason") part.prepend(element("h3", {}, "What weighed most"));
  if (kind !== "box") return part;
  const numberOf = ({ target }) => target.closest(".row")?.dataset.number ?? null;
  list.addEventListener("pointerover", (event) => onLight(numberOf(event)));
  list.addEventListener("pointerleave", () => onLight(null));
  list.addEventListener("focusin", (event) => onLight(numberOf(event)));
  list.addEventListener("focusout", () => onLight(null));
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const rows = [...list.querySelectorAll(".row")];
    const next = step && rows[rows.indexOf(event.target) + step];
    if (!next) return;
    event.preventDefault();
    for (const row of rows) row.tabIndex = row === next ? 0 : -1; // one stop of Tab for all
    next.focus();
  });
  return part;
}

/** Change the rows of a list in place. */
export function fillRows(list, rows) {
  list.classList.toggle("close", rows.length > MANY);
  while (list.children.length > rows.length) list.lastChild.remove();
  rows.forEach((row, index) => {
    list.children[index] ?? list.append(emptyRow(row, index));
    fillRow(list.children[index], row);
  });
}

function emptyRow({ number }, index) {
  const parts = ["label", "share", "bar"].map((className) => element("span", { className }));
  parts[2].ariaHidden = "true";
  parts[2].append(element("i"));
  if (number === undefined) return element("li", {}, ...parts);
  const row = element("button", { type: "button", className: "row", tabIndex: index ? -1 : 0 });
  row.append(element("span", { className: "rank" }), ...parts);
  row.dataset.number = number;
  return element("li", {}, row);
}

function fillRow(item, { number, label, note, share, figure, side }) {
  const part = (name) => item.querySelector(`.${name}`);
  const write = (node, words) => node.textContent !== words && (node.textContent = words);
  if (number !== undefined) write(part("rank"), String(number));
  const key = `${label}\n${note ?? ""}`;
  if (item.dataset.key !== key) {
    item.dataset.key = key;
    part("label").replaceChildren(label, ...(note ? [element("small", {}, note)] : []));
  }
  part("share").hidden = part("bar").hidden = share == null;
  write(part("share"), share == null ? "" : (figure ?? percent(share)));
  part("bar").firstChild.style.setProperty("--share", share ?? 0);
  item.classList.toggle("against", side === "against");
  item.classList.toggle("for", side === "for");
}

// --- anything else

function fillRest(part, json) {
  const key = JSON.stringify(json);
  part.dataset.kind = "rest";
  if (part.key === key) return;
  part.key = key;
  part.replaceChildren(value(json));
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
  if (isPicture(json)) return element("img", { src: json, alt: "Picture in the answer" });
  return element("span", { className: "scalar" }, text(json));
}

function text(json) {
  const fraction = typeof json === "number" && !Number.isInteger(json);
  return String(fraction ? Number(json.toPrecision(6)) : json);
}

/** image: the result. source: { url, file } of the original. */
function compare(image, { url, file }) {
  const original = element("img", { src: url, alt: `The original: ${file.name}`, className: "original" });
  const slider = element("input", { type: "range", min: 0, max: 100, value: 0, className: "split" });
  slider.ariaLabel = "Share of the original";
  const view = element("div", { className: "compare" }, image, original, slider);
  const words = element("span", { className: "tag" }, "drag for the original");
  view.append(words);
  const move = () => {
    view.style.setProperty("--split", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value} % of the original`);
    words.hidden = slider.value !== "0";
  };
  slider.addEventListener("input", move);
  view.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
  move();
  return view;
}

// --- where the time went

/** stages: [{ name, milliseconds }] in order; roundTrip: what the browser measured, or null. */
export function showTimings(stages, roundTrip) {
  byId("timings").hidden = stages.length === 0;
  const total = stages.reduce((sum, stage) => sum + stage.milliseconds, 0);
  const colour = (index) => `--colour: var(--stage-${index % 6})`;
  const parts = stages.map((stage, index) =>
    element("i", { style: `${colour(index)}; --part: ${stage.milliseconds / (total || 1)}` }),
  );
  const entries = stages.map((stage, index) =>
    element(
      "div",
      {},
      element("dt", { style: colour(index) }, stage.name),
      element("dd", {}, milliseconds(stage.milliseconds)),
    ),
  );
  byId("stack").replaceChildren(...parts);
  byId("legend").replaceChildren(...entries);
  byId("total").replaceChildren(
    element("strong", {}, milliseconds(total)),
    ` in the server${roundTrip === null ? "" : `, ${milliseconds(roundTrip)} round trip`}`,
  );
}

// --- problems

/** again(): runs the same once more; null where that cannot help. */
export function showProblem(problem, again) {
  const { type, title, detail, errors, status, requestId, retry, after } = problem;
  const parts = [element("h3", {}, title), element("p", {}, detail)];
  const withoutInput = showInputFaults(errors);
  const withoutPlace = showFaults(errors).filter((name) => withoutInput.includes(name));
  const faults = withoutPlace.map((name) => element("li", {}, element("code", {}, name), ` ${errors[name]}`));
  if (faults.length) parts.push(element("ul", {}, ...faults));
  if (requestId) {
    const id = element("code", {}, requestId);
    const copyId = button("Copy", ({ target }) => copy(target, requestId, id), "quiet");
    copyId.ariaLabel = "Copy the request's id";
    parts.push(element("p", { className: "hint" }, `status ${status}, request_id `, id, " ", copyId));
  }
  if (retry && again) parts.push(button("Try again", again));
  byId("problem").replaceChildren(...parts);
  if (status === 429 && after) holdRun(after, type?.endsWith(":quota-exceeded"));
}

/** Run keeps the focus while it has to wait, and enables itself. */
function holdRun(seconds, isMonth) {
  clearTimeout(counting);
  const run = byId("run");
  const words = isMonth ? "All of this month is used; more" : "Again";
  const tick = (left) => {
    run.ariaDisabled = left > 0 ? "true" : null;
    byId("bar-note").textContent = left > 0 ? `${words} ${when(left)}.` : "";
    if (left > 0) counting = setTimeout(() => tick(left - 1), 1000);
  };
  tick(Math.ceil(seconds));
}
