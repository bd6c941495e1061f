// Reads JSON Schemas: which form field a parameter wants, and what in a result is of a known kind.

const MAX_STEPS = 1_000; // of a slider
const MAX_RADIOS = 4;
const LONG_TEXT = 120; // characters, from which a text wants several lines

/** Look through references and `anyOf … null`, which Pydantic writes: adds `nullable`. */
export function resolve(schema, definitions = {}) {
  const choices = schema.anyOf ?? schema.oneOf ?? schema.allOf ?? [];
  const others = choices.filter(({ type }) => type !== "null");
  const nullable = others.length < choices.length;
  if (others.length > 1) return { ...schema, nullable };
  const reference = schema.$ref ?? others[0]?.$ref;
  const target = reference ? resolve(definitions[reference.split("/").at(-1)], definitions) : {};
  const { $ref, anyOf, oneOf, allOf, ...own } = schema;
  return { ...target, ...others[0], ...own, nullable: nullable || Boolean(target.nullable) };
}

/** 0.0123 → 0.02: the next 1, 2 or 5 times a power of ten. */
function rounded(step) {
  const power = 10 ** Math.floor(Math.log10(step));
  const digit = [1, 2, 5, 10].find((digit) => digit * power >= step * 0.999);
  return Number((digit * power).toPrecision(1));
}

function numberField({ type, multipleOf, ...bounds }) {
  const whole = type === "integer";
  const min = bounds.minimum ?? bounds.exclusiveMinimum;
  const max = bounds.maximum ?? bounds.exclusiveMaximum;
  const both = min !== undefined && max !== undefined && max > min;
  const step = multipleOf ?? (whole ? 1 : both ? rounded((max - min) / 100) : undefined);
  const slides = both && (max - min) / step <= MAX_STEPS;
  return { kind: slides ? "range" : "number", min, max, step, whole };
}

function textField({ maxLength, minLength, pattern }) {
  const kind = maxLength > LONG_TEXT ? "textarea" : "text";
  return { kind, maxLength, minLength, pattern };
}

function arrayField({ items = {} }, definitions, nullable) {
  const item = resolve(items, definitions);
  if (nullable) return { kind: "json" }; // in a query, nothing tells a list of one from a value
  if (item.enum) return { kind: "choices", options: item.enum };
  return { kind: ["string", "number", "integer"].includes(item.type) ? "lines" : "json" };
}

function fieldOf(property, definitions) {
  const { type, enum: options, nullable } = property;
  if (options) return { kind: options.length > MAX_RADIOS || nullable ? "select" : "radios", options };
  if (type === "boolean" && !nullable) return { kind: "checkbox" };
  if (type === "number" || type === "integer") return numberField(property);
  if (type === "string" && property.const === undefined) return textField(property);
  if (type === "array") return arrayField(property, definitions, nullable);
  return { kind: "json" };
}

/**
 * The parameters of a schema, each with the field that holds it: { name, kind: range, number,
 * radios, select, checkbox, text, textarea, choices, lines or json, required, nullable, standard:
 * its default, initial: what the field begins with, description, examples, … bounds }.
 */
export function parameterKinds({ properties = {}, required = [], $defs = {} }) {
  return Object.entries(properties).map(([name, schema]) => {
    const property = resolve(schema, $defs);
    const { description = "", examples = [], nullable, default: standard } = property;
    const isRequired = required.includes(name);
    const initial = isRequired ? examples[0] : standard;
    const field = fieldOf(property, $defs);
    return { name, description, examples, nullable, standard, initial, required: isRequired, ...field };
  });
}

/** Whether a camera's frames can be answered live: pictures go in, and what comes out has rows. */
export const isLive = ({ stream, inputs, result }) =>
  Boolean(stream) && inputs.some(({ kind }) => kind === "image") && !result.kinds.includes("picture");

/** The names of four parameters that are a rectangle on a picture: { input, fields }, or undefined. */
export const rectangleOf = (schema) =>
  schema["x-groups"]?.find(({ kind, unit }) => kind === "rectangle" && unit === "share");

/**
 * Sort a result by the markers in its schema, at any depth.
 * Returns { found: { class, box, point, label, reason: lists of objects }, rest: what has no marker }.
 */
export function resultKinds(schema, result) {
  const found = { class: [], box: [], point: [], label: [], reason: [] };
  const walk = (value, at) => {
    const { "x-kind": kind, items, properties = {}, additionalProperties } = at;
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) {
      const rest = value.map((item) => walk(item, resolve(items ?? {}, schema.$defs)));
      return value.length && rest.every((item) => item === undefined) ? undefined : rest;
    }
    let entries = Object.entries(value);
    if (kind in found) {
      found[kind].push(value);
      if (kind !== "label") return undefined;
      entries = entries.filter(([name]) => name !== "label" && name !== "probability");
    }
    const rest = entries.flatMap(([name, inner]) => {
      const own = resolve(properties[name] ?? additionalProperties ?? {}, schema.$defs);
      const isKnown = Array.isArray(inner) && resolve(own.items ?? {}, schema.$defs)["x-kind"] in found;
      const left = walk(inner, own);
      return left === undefined || (isKnown && !inner.length) ? [] : [[name, left]];
    });
    const isSpent = !rest.length && (kind in found || entries.length > 0);
    return isSpent ? undefined : Object.fromEntries(rest);
  };
  const rest = walk(result, resolve(schema, schema.$defs));
  return { found, rest };
}
