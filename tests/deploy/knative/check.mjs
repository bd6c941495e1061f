// Checks the Knative Service that comes in as JSON on stdin; says what is wrong, a line each.
import { validate } from "@kubernetes-models/knative/_schemas/DevKnativeServingPkgApisServingV1Service";
import { readFileSync } from "node:fs";

// The models let pass what they do not know, so a mistyped field would be one that is left out. A
// field that the check never looks at is such a one.
const unread = new Set();

function watched(value, path) {
  if (value === null || typeof value !== "object") return value;
  const copy = Array.isArray(value) ? [] : {};
  for (const [key, inner] of Object.entries(value)) {
    copy[key] = watched(inner, `${path}/${key}`);
    unread.add(`${path}/${key}`);
  }
  return new Proxy(copy, {
    get(target, key) {
      unread.delete(`${path}/${String(key)}`);
      return target[key];
    },
  });
}

const given = watched(JSON.parse(readFileSync(0, "utf8")), "");
if (!validate(given)) {
  for (const { instancePath, keyword, params } of validate.errors) {
    console.log(`${instancePath}: ${keyword} ${JSON.stringify(params)}`);
  }
}
for (const path of unread) console.log(`${path}: no such field`);
