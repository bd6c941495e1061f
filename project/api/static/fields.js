// The controls of a form for each kind of parameter.

import { button, element } from "./dom.js";

const text = (value) => (value === undefined ? "" : String(value));

/** A control of one element, which is empty where the parameter is unset. */
function single(control, { id, name, required }) {
  Object.assign(control, { id, name, required });
  const read = () => control.value.trim() || undefined;
  const write = (value) => (control.value = text(value));
  return { root: control, targets: [control], read, write };
}

function numberBox({ min, max, step, whole }) {
  const box = element("input", { type: "number", inputMode: whole ? "numeric" : "decimal" });
  return Object.assign(box, { min: text(min), max: text(max), step: whole ? text(step) : "any" });
}

/** Whether HTML takes it; a schema's has no anchors, and may be of another dialect. */
function isPattern(pattern) {
  try {
    return Boolean(new RegExp(pattern, "v"));
  } catch {
    return false;
  }
}

function textControl(tag, parameter) {
  const { maxLength, minLength, pattern, examples } = parameter;
  const control = element(tag, tag === "input" ? { type: "text" } : { rows: 3 });
  if (maxLength) control.maxLength = maxLength;
  if (minLength) control.minLength = minLength;
  if (pattern && tag === "input" && isPattern(pattern)) control.pattern = `.*(?:${pattern}).*`;
  const made = single(control, parameter);
  if (examples.length < 2) return made;
  const chips = examples.map((example) =>
    button(text(example), () => {
      control.value = text(example);
      for (const kind of ["input", "change"]) control.dispatchEvent(new Event(kind, { bubbles: true }));
    }, "chip"),
  );
  return { ...made, root: element("div", { className: "with-chips" }, control, ...chips) };
}

function optionGroup(type, { id, name, options }) {
  const boxes = options.map((option, index) =>
    element("input", { type, name: type === "radio" ? name : "", value: text(option), id: `${id}-${index}` }),
  );
  const labels = boxes.map((box) => element("label", { className: "option" }, box, box.value));
  const root = element("div", { className: "options" }, ...labels);
  root.role = type === "radio" ? "radiogroup" : "group";
  const chosen = () => boxes.filter(({ checked }) => checked).map(({ value }) => value);
  const write = (value) => {
    const wanted = [value ?? []].flat().map(text);
    for (const box of boxes) box.checked = wanted.includes(box.value);
  };
  return { root, targets: boxes, chosen, write };
}

/** A list in a query cannot be empty: where the default has items, an empty one is sent as JSON. */
const list = (items, { standard, required }) =>
  items.length ? items : required || standard?.length ? { json: [] } : undefined;

/**
 * By kind: makes the control of a parameter. Returns { root, targets: elements that take the focus,
 * read(): undefined where unset, write(value), enable(on): of a slider }.
 */
export const MAKERS = {
  number: (parameter) => single(numberBox(parameter), parameter),
  text: (parameter) => textControl("input", parameter),
  textarea: (parameter) => textControl("textarea", parameter),
  range(parameter) {
    const { id, name, min, max, step } = parameter;
    const made = single(numberBox(parameter), parameter);
    const [box] = made.targets;
    const slider = element("input", { type: "range", min, max, step, ariaLabel: `${name}, slider` });
    slider.addEventListener("input", () => (box.value = slider.value));
    box.addEventListener("input", () => box.value && (slider.value = box.value));
    const write = (value) => {
      made.write(value);
      slider.value = value ?? min;
    };
    const enable = (on) => {
      slider.disabled = box.disabled = !on;
      if (on && !box.value) write(slider.value);
    };
    const root = element("div", { className: "slider", id: `${id}-root` }, slider, box);
    return { ...made, root, write, enable, targets: [box, slider] };
  },
  radios(parameter) {
    const made = optionGroup("radio", parameter);
    return { ...made, read: () => made.chosen()[0] };
  },
  select(parameter) {
    const options = parameter.options.map((option) => element("option", {}, text(option)));
    if (parameter.nullable || parameter.initial === undefined) options.unshift(element("option"));
    return single(element("select", {}, ...options), parameter);
  },
  checkbox(parameter) {
    const box = element("input", { type: "checkbox", id: parameter.id, name: parameter.name });
    const write = (value) => (box.checked = Boolean(value));
    return { root: box, targets: [box], read: () => text(box.checked), write };
  },
  choices(parameter) {
    const made = optionGroup("checkbox", parameter);
    return { ...made, read: () => list(made.chosen(), parameter) };
  },
  lines(parameter) {
    const made = single(element("textarea", { rows: 3 }), parameter);
    const [area] = made.targets;
    const lines = () => area.value.split("\n").map((line) => line.trim()).filter(Boolean);
    const write = (value) => (area.value = (value ?? []).join("\n"));
    return { ...made, read: () => list(lines(), parameter), write };
  },
  json(parameter) {
    const made = single(element("textarea", { rows: 3, spellcheck: false }), parameter);
    const [area] = made.targets;
    const read = () => {
      area.setCustomValidity("");
      if (!area.value.trim()) return undefined;
      try {
        return { json: JSON.parse(area.value) };
      } catch (error) {
        area.setCustomValidity(`Write JSON: ${error.message}`);
        return undefined;
      }
    };
    const write = (value) => (area.value = value === undefined ? "" : JSON.stringify(value));
    return { ...made, read, write };
  },
};
