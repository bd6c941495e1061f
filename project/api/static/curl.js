// The curl command that does what the page does, safe to paste into a shell.

const PLAIN = /^[\w@%+=:,./-]+$/;

/** parameters: those to send, by name. */
export function curlCommand(url, fileName, parameters) {
  const form = Object.entries(parameters).flatMap(([name, value]) => [
    /^[\w.+-]*$/.test(value) ? "-F" : "--form-string", // -F reads `@`, `<` and `;` as its own
    `${name}=${value}`,
  ]);
  return ["curl", "-F", `image=@${curlName(fileName)}`, ...form, url].map(shell).join(" ");
}

/** curl reads `;` and `,` in a file's name as its own unless the name is quoted. */
function curlName(name) {
  return /^[\w./ -]+$/.test(name) ? name : `"${name.replace(/[\\"]/g, "\\$&")}"`;
}

function shell(word) {
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
