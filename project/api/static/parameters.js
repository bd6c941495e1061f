// A model's parameters as form fields, made from their JSON Schema; faults stand at their field.

import { button, element } from "./dom.js";
import { parameterKinds, rectangleOf } from "./schema.js";

let fields = []; // { name, read(), write(value), standard: as read() gives it, fault(words), target }

/** Fill the fieldset with a field for each parameter. */
export function offer(fieldset, schema) {
  fields = parameterKinds(schema).map(field);
  const group = rectangleOf(schema);
  const inGroup = ({ name }) => group?.fields.includes(name);
  const roots = fields.filter((one) => !inGroup(one)).map(({ root }) => root);
  const grouped = fields.filter(inGroup).map(({ root }) => root);
  if (grouped.length) {
    const words = "Rectangle: draw it on the picture, or write it as numbers";
    roots.unshift(element("details", { className: "group" }, element("summary", {}, words), ...grouped));
  }
  const reset = button("Reset", () => resetAll(fieldset), "quiet");
  reset.id = "reset";
  fieldset.replaceChildren(...roots, reset);
  fieldset.hidden = fields.length === 0;
  showReset(fieldset);
}

/** Show or hide Reset: it is there once something differs. */
export function showReset(fieldset) {
  fieldset.querySelector("#reset").classList.toggle("away", fields.every(({ read, began }) => JSON.stringify(read()) === began));
}

function resetAll(fieldset) {
  for (const { write, initial } of fields) write(initial);
  showFaults({});
  fieldset.dispatchEvent(new Event("input", { bubbles: true }));
  fieldset.dispatchEvent(new Event("change", { bubbles: true }));
}

/** The values as they stand, by name: text, list of texts, or { json }; what is unset is left out. */
export function values() {
  const pairs = fields.map(({ name, read }) => [name, read()]);
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined));
}

/** Those values that are not the defaults. */
export function changes() {
  const isStandard = (name, value) =>
    JSON.stringify(value) === fields.find((one) => one.name === name).standard;
  return Object.fromEntries(Object.entries(values()).filter(([name, value]) => !isStandard(name, value)));
}

/** Write values into fields of those names, as one who types them. */
export function write(given) {
  for (const one of fields) if (one.name in given) one.write(given[one.name]);
}

/** Write each fault at its field, and focus the first. Returns the names that have no field. */
export function showFaults(errors) {
  for (const { name, fault } of fields) fault(errors[name] ?? "");
  const first = fields.find(({ name }) => name in errors);
  if (first) first.target.closest("details")?.setAttribute("open", "");
  first?.target.focus();
  return Object.keys(errors).filter((name) => !fields.some((one) => one.name === name));
}

function field(parameter) {
  const { name, kind, nullable, initial, standard } = parameter;
  const id = `parameter-${name}`;
  const made = MAKERS[kind]({ ...parameter, id });
  const hint = element("p", { id: `${id}-hint`, className: "hint" }, describe(parameter));
  const words = hint.textContent;
  const isGroup = made.targets.length > 1 && kind !== "range";
  const label = element(isGroup ? "span" : "label", { className: "name", id: `${id}-label` }, name);
  if (isGroup) made.root.setAttribute("aria-labelledby", label.id);
  else label.htmlFor = id;
  for (const target of made.targets) target.setAttribute("aria-describedby", hint.id);
  let isSet = null; // of a slider that may be unset
  if (kind === "range" && nullable) {
    isSet = element("input", { type: "checkbox", ariaLabel: `Set ${name}` });
    isSet.addEventListener("change", () => made.enable(isSet.checked));
    made.root.prepend(isSet);
  }
  const write = (value) => {
    if (isSet) made.enable((isSet.checked = value != null));
    made.write(value ?? undefined);
  };
  const read = () => (isSet && !isSet.checked ? undefined : made.read());
  const fault = (text) => {
    hint.textContent = text || words;
    hint.classList.toggle("fault", Boolean(text));
    for (const target of made.targets) target.ariaInvalid = text ? "true" : null;
  };
  write(standard);
  const given = JSON.stringify(read());
  write(initial);
  const began = JSON.stringify(read());
  made.root.addEventListener("input", () => fault(""));
  const root = element("div", { className: `field ${kind}` }, label, made.root, hint);
  return { name, root, read, write, initial, began, standard: given, fault, target: made.targets[0] };
}

function describe({ kind, description, min, max }) {
  const number = (value) => value.toLocaleString("en", { maximumFractionDigits: 10 });
  const [least, most] = [min !== undefined, max !== undefined && max < 1e9];
  const bounds = [least && `from ${number(min)}`, most && `to ${number(max)}`];
  const range = bounds.filter(Boolean).join(" ");
  const how = { lines: "One a line.", json: "Written as JSON." }[kind] ?? "";
  return [description, how, range && `(${range})`].filter(Boolean).join(" ");
}

// --- the controls of a form for each kind of parameter

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
const MAKERS = {
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
