// Reads objects of custom kinds as JSON, one a line, and prints what is wrong with each, one a line.
//
// Twice, as neither sees all: the validators know patterns, enumerations and bounds, but pass over
// fields that are none; the compiler refuses those, as in any object literal.
import { readFileSync } from "node:fs";
import ts from "typescript";
import * as gateway from "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1";
import * as keda from "@kubernetes-models/keda/keda.sh/v1alpha1";
import * as monitoring from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

const FILE = "objects.ts";
const GROUPS = {
  "monitoring.coreos.com/v1": monitoring,
  "keda.sh/v1alpha1": keda,
  "gateway.networking.k8s.io/v1": gateway,
};
const MODULES = {
  "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
  "keda.sh/v1alpha1": "@kubernetes-models/keda/keda.sh/v1alpha1",
  "gateway.networking.k8s.io/v1": "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1",
};
const OPTIONS = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  types: [],
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
};

function validated({ apiVersion, kind, ...rest }) {
  const Model = GROUPS[apiVersion]?.[kind];
  if (!Model) return [`no such kind: ${apiVersion} ${kind}`];
  try {
    new Model({ apiVersion, kind, ...rest }).validate();
    return [];
  } catch (error) {
    return [error.message];
  }
}

function literal(object, number) {
  const type = `import("${MODULES[object.apiVersion]}").I${object.kind}`;
  return `export const object${number}: ${type} = ${JSON.stringify(object)};`;
}

function compiled(objects) {
  const text = objects.map(literal).join("\n");
  const host = ts.createCompilerHost(OPTIONS);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (name) => name === FILE || fileExists(name);
  host.getSourceFile = (name, ...more) =>
    name === FILE ? ts.createSourceFile(FILE, text, OPTIONS.target) : getSourceFile(name, ...more);
  const program = ts.createProgram([FILE], OPTIONS, host);
  const faults = objects.map(() => []);
  for (const found of ts.getPreEmitDiagnostics(program)) {
    const message = ts.flattenDiagnosticMessageText(found.messageText, " ");
    if (found.file?.fileName !== FILE) throw new Error(message);
    faults[found.file.getLineAndCharacterOfPosition(found.start).line].push(message);
  }
  return faults;
}

const objects = readFileSync(0, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
const refused = compiled(objects);
objects.forEach((object, number) =>
  console.log([...validated(object), ...refused[number]].join("; ").replaceAll("\n", " ")),
);
