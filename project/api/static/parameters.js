// A model's parameters as form fields, made from their JSON Schema.

import { element } from "./dom.js";

/**
 * Fill the fieldset with a field for each parameter that a field can hold.
 * Returns { name: example } of those that are required and have none.
 */
export function offer(fieldset, schema) {
  const required = schema.required ?? [];
  const fields = Object.entries(schema.properties ?? {}).flatMap(([name, property]) =>
    field(name, resolve(property, schema.$defs ?? {}), required.includes(name)),
  );
  fieldset.replaceChildren(...fields);
  fieldset.hidden = fields.length === 0;
  const fieldless = required.filter((name) => !fieldset.elements.namedItem(name));
  return Object.fromEntries(fieldless.map((name) => [name, schema.properties[name].examples?.[0]]));
}

/** The values as they stand, by name; a field left empty is left out. */
export function values(fieldset) {
  const controls = [...fieldset.elements].filter((control) => control.name);
  const pairs = controls.map((control) => [
    control.name,
    control.type === "checkbox" ? String(control.checked) : control.value.trim(),
  ]);
  return Object.fromEntries(pairs.filter(([, value]) => value !== ""));
}

/** Those values that are not the defaults. */
export function changes(fieldset) {
  const given = Object.entries(values(fieldset));
  const standard = (name) => fieldset.elements.namedItem(name).dataset.default;
  return Object.fromEntries(given.filter(([name, value]) => value !== standard(name)));
}

/** Pydantic writes an enum as a reference and an optional value as one of two: look through. */
function resolve(property, definitions) {
  const other = property.anyOf?.find((choice) => choice.type !== "null") ?? property.allOf?.[0];
  const reference = (property.$ref ?? other?.$ref)?.split("/").at(-1);
  return { ...definitions[reference], ...other, ...property };
}

function field(name, property, required) {
  const control = controlFor(property);
  if (!control) return [];
  const id = `parameter-${name}`;
  const standard = property.default ?? (property.type === "boolean" ? false : "");
  const initial = required ? (property.examples?.[0] ?? standard) : standard;
  Object.assign(control, { id, name, required });
  control.dataset.default = String(standard);
  if (control.type === "checkbox") control.checked = Boolean(initial);
  else control.value = String(initial);
  control.setAttribute("aria-describedby", `${id}-hint`);
  const label = element("label", { htmlFor: id }, name);
  const hint = element("p", { id: `${id}-hint`, className: "hint" }, describe(property));
  return [element("div", { className: "field" }, label, control, hint)];
}

function controlFor({ type, enum: choices, ...bounds }) {
  if (choices) {
    const options = choices.map((choice) => element("option", {}, String(choice)));
    return element("select", {}, ...options);
  }
  if (type === "boolean") return element("input", { type: "checkbox" });
  if (type === "string") return element("input", { type: "text" });
  if (type !== "integer" && type !== "number") return null;
  const control = element("input", { type: "number" });
  control.step = type === "integer" ? String(bounds.multipleOf ?? 1) : "any";
  control.min = bounds.minimum ?? bounds.exclusiveMinimum ?? "";
  control.max = bounds.maximum ?? bounds.exclusiveMaximum ?? "";
  return control;
}

function describe({ description = "", ...property }) {
  const least = property.minimum ?? property.exclusiveMinimum;
  const most = property.maximum ?? property.exclusiveMaximum;
  const above = property.minimum === undefined ? "above" : "from";
  const below = property.maximum === undefined ? "below" : "to";
  const bounds = [
    least === undefined ? "" : `${above} ${least}`,
    most === undefined ? "" : `${below} ${most}`,
  ].filter(Boolean);
  return [description, bounds.length ? `(${bounds.join(" ")})` : ""].filter(Boolean).join(" ");
}
