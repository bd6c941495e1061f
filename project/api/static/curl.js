// The curl command that does what the page does, safe to paste into a shell.

import { hasOnePicture, mediaType } from "./client.js";

const PLAIN = /^[\w@%+=:,./-]+$/;

/**
 * model: whose inputs decide how they are sent. inputs: [{ name, kind, value: File or string }].
 * parameters: those to send, by name; a list is sent item by item. headers: { name: value }. output: the file for the answer.
 */
export function curlCommand(url, model, { inputs, parameters, headers = {}, output }) {
  const words = ["curl"];
  const address = new URL(url);
  const items = Object.entries(parameters).flatMap(([name, value]) =>
    [value].flat().map((item) => [name, item]),
  );
  if (hasOnePicture(model)) {
    for (const { value } of inputs) {
      words.push("--data-binary", `@${value.name}`, "-H", `Content-Type: ${mediaType(value)}`);
    }
    for (const [name, value] of items) address.searchParams.append(name, value);
  } else {
    for (const { name, kind, value } of inputs) {
      words.push(...(kind === "image" ? ["-F", `${name}=@${formName(value)}`] : field(name, value)));
    }
    for (const [name, value] of items) words.push(...field(name, value));
  }
  if (words.length === 1) words.push("-X", "POST");
  for (const [name, value] of Object.entries(headers)) words.push("-H", `${name}: ${value}`);
  if (output) words.push("-o", output);
  return [...words, address.href].map(shell).join(" ");
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
