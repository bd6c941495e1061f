// A model's parameters as form fields, made from their JSON Schema; faults stand at their field.

import { button, element } from "./dom.js";
import { MAKERS } from "./fields.js";
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
