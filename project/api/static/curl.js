// The command that does what the page does, safe to paste into a shell.

import { hasOnePicture, mediaType, needsJson, pairs, plain } from "./client.js";

const PLAIN = /^[\w@%+=:,./-]+$/;

/**
 * model: whose inputs decide how they are sent. inputs: [{ name, kind, value: File or string }].
 * parameters: those to send, by name. headers: { name: value }. output: the file for the answer.
 * withKey: with an API key, as a variable of the shell.
 */
export function curlCommand(url, model, { inputs, parameters, headers = {}, output, withKey }) {
  const words = [];
  const address = new URL(url);
  const asJson = needsJson(parameters);
  if (asJson) {
    words.push("--json", "@-");
  } else if (hasOnePicture(model)) {
    for (const { value } of inputs) {
      words.push("--data-binary", `@${value.name}`, "-H", `Content-Type: ${mediaType(value)}`);
    }
    for (const [name, value] of pairs(parameters)) address.searchParams.append(name, value);
  } else {
    for (const { name, kind, value } of inputs) {
      words.push(...(kind === "image" ? ["-F", `${name}=@${formName(value)}`] : field(name, value)));
    }
    for (const [name, value] of pairs(parameters)) words.push(...field(name, value));
  }
  if (!words.length) words.push("-X", "POST");
  for (const [name, value] of Object.entries(headers)) words.push("-H", `${name}: ${value}`);
  if (output) words.push("-o", output);
  const key = withKey ? [`-H "Authorization: Bearer $VITRINE_KEY"`] : [];
  const command = ["curl", ...key, ...[...words, address.href].map(shell)].join(" ");
  return asJson ? `${jsonBody(inputs, plain(parameters))} | ${command}` : command;
}

/** The command for the frames of a camera or a video; what only JSON can hold is no --param. */
export function streamCommand(url, model, parameters) {
  const isText = ([, value]) => value.json === undefined;
  const entries = Object.entries(parameters);
  const items = pairs(Object.fromEntries(entries.filter(isText)));
  const words = items.map(([name, value]) => ` --param ${shell(`${name}=${value}`)}`);
  const left = entries.filter((entry) => !isText(entry)).map(([name]) => name);
  const note = left.length ? `# without ${left.join(" and ")}, which only JSON can hold\n` : "";
  return `${note}python -m project stream ${model.name} video.mp4${words.join("")} --url ${new URL(url).origin}`;
}

/** What prints the JSON object, with pictures in base64. */
function jsonBody(inputs, parameters) {
  const texts = inputs.filter(({ kind }) => kind !== "image").map(({ name, value }) => [name, value]);
  const pictures = inputs.filter(({ kind }) => kind === "image");
  const rest = JSON.stringify({ ...Object.fromEntries(texts), ...parameters });
  if (!pictures.length) return `printf %s ${shell(rest)}`;
  const parts = pictures.map(({ name, value }, index) => {
    const opening = `${index ? '",' : "{"}${JSON.stringify(name)}:"`;
    return `printf %s ${shell(opening)}; base64 < ${shell(value.name)} | tr -d '\\n'; `;
  });
  return `{ ${parts.join("")}printf %s ${shell(`",${rest.slice(1)}`)}; }`;
}

/** -F reads `@`, `<` and `;` as its own. */
function field(name, value) {
  return [/^[\w.+-]*$/.test(value) ? "-F" : "--form-string", `${name}=${value}`];
}

/** In a form, curl reads `;` and `,` in a file's name as its own unless the name is quoted. */
function formName({ name }) {
  return /^[\w./ -]+$/.test(name) ? name : `"${name.replace(/[\\"]/g, "\\$&")}"`;
}

function shell(word) {
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
