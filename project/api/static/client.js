// Speaks to the API: models, predictions with their timings, and whatever goes wrong as a Problem.

/** An error in the words of a problem document (RFC 9457). retry: whether trying again may help. */
export class Problem extends Error {
  constructor({ title, detail, status, request_id: requestId, errors }, retry = false) {
    super(detail);
    Object.assign(this, { title, detail, status, requestId, errors: errors ?? {}, retry });
  }
}

/** GET a path as JSON. Throws Problem. */
export async function getJson(path) {
  const answer = await send(path, { headers: { Accept: "application/json" } });
  return await answer.json();
}

/** Whether a model's only input is a picture: that is then the body, the parameters are the query. */
export const hasOnePicture = ({ inputs }) => inputs.length === 1 && inputs[0].kind === "image";

/** The Content-Type of a file that is meant as a picture; the server looks at its bytes. */
export const mediaType = ({ type }) => (type.startsWith("image/") ? type : "application/octet-stream");

/**
 * POST inputs to a model: [{ name, kind, value: File or string }], and parameters by name.
 * accept: the media type of the answer.
 * Returns { result: a Blob where it is a picture, else what the JSON says, stages: [{ name,
 * milliseconds }], roundTrip: milliseconds }. Throws Problem, or AbortError where the signal said so.
 */
export async function predict(model, { inputs, parameters }, accept, signal) {
  const [path, body, type] = hasOnePicture(model)
    ? pictureBody(model.predictions, inputs, parameters)
    : [model.predictions, formBody(inputs, parameters)];
  const headers = { Accept: accept, ...(type && { "Content-Type": type }) };
  const began = performance.now();
  const answer = await send(path, { method: "POST", body, headers, signal });
  const isPicture = answer.headers.get("Content-Type")?.startsWith("image/");
  const result = isPicture ? await answer.blob() : await answer.json();
  const roundTrip = performance.now() - began;
  return { result, stages: parseServerTiming(answer.headers.get("Server-Timing")), roundTrip };
}

function pictureBody(path, [picture], parameters) {
  const query = String(new URLSearchParams(parameters));
  return [query ? `${path}?${query}` : path, picture?.value, picture && mediaType(picture.value)];
}

function formBody(inputs, parameters) {
  const body = new FormData();
  for (const { name, kind, value } of inputs) {
    if (kind === "image") body.set(name, value, value.name || "picture");
    else body.set(name, new Blob([value])); // a string's line ends would become CRLF
  }
  for (const [name, value] of Object.entries(parameters)) body.set(name, value);
  return body;
}

/** `decode;dur=4.8, forward;dur=100` → [{ name, milliseconds }]; what has no duration is left out. */
export function parseServerTiming(header) {
  return (header ?? "").split(",").flatMap((metric) => {
    const [name, ...parameters] = metric.split(";").map((part) => part.trim());
    const duration = parameters.find((parameter) => parameter.startsWith("dur="));
    return name && duration ? [{ name, milliseconds: Number(duration.slice(4)) }] : [];
  });
}

async function send(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw await unreachable(options.body !== undefined);
  }
  if (!answer.ok) throw await asProblem(answer);
  return answer;
}

async function asProblem(answer) {
  const retry = answer.status >= 500;
  const type = answer.headers.get("Content-Type") ?? "";
  if (type.startsWith("application/problem+json")) return new Problem(await answer.json(), retry);
  const title = `Unexpected answer, status ${answer.status}`;
  const detail = "it did not come from the API itself; look at what stands between here and it";
  return new Problem({ title, detail }, retry);
}

/** A server that lives, but hung up on an upload, did not want to read it to its end. */
async function unreachable(uploading) {
  const lives = uploading && (await fetch("/health").then((answer) => answer.ok, () => false));
  if (lives) {
    const detail =
      "the server hung up before it had all of it; most often a picture is too large, " +
      "so try a smaller one";
    return new Problem({ title: "The upload was cut off", detail }, true);
  }
  const detail =
    "the network is gone or the server has stopped; all inputs are still here, so try again " +
    "when the server is back";
  return new Problem({ title: "No connection to the server", detail }, true);
}
