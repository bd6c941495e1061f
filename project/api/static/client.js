// Speaks to the API: predictions, jobs and their events; whatever goes wrong is a Problem.

/** An error in the words of a problem document (RFC 9457). retry: whether trying again may help. */
export class Problem extends Error {
  constructor({ type, title, detail, status, request_id: requestId, errors }, { retry = false, after } = {}) {
    super(detail);
    Object.assign(this, { type, title, detail, status, requestId, errors: errors ?? {}, retry, after });
  }
}

/** GET a path as JSON. Throws Problem. */
export async function getJson(path, options = {}) {
  const answer = await send(path, { headers: { Accept: "application/json" }, ...options });
  return await answer.json();
}

/**
 * Send a form (URLSearchParams) or JSON, and read JSON; null where the answer has no body.
 * options.isOpen: it needs no user. Throws Problem.
 */
export async function call(method, path, body, options = {}) {
  const isForm = body instanceof URLSearchParams;
  const content = isForm ? { body } : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await send(path, { method, ...content, ...options });
  return answer.status === 204 ? null : await answer.json();
}

/** Whether a model's only input is a picture: that is then the body, the parameters are the query. */
export const hasOnePicture = ({ inputs }) => inputs.length === 1 && inputs[0].kind === "image";

/** The Content-Type of a file that is meant as a picture; the server looks at its bytes. */
export const mediaType = ({ type }) => (type.startsWith("image/") ? type : "application/octet-stream");

/** [[name, text]] of parameters; a list is sent item by item. */
export const pairs = (parameters) =>
  Object.entries(parameters).flatMap(([name, value]) => [value].flat().map((item) => [name, item]));

/** Whether only a JSON body can hold the parameters: a form makes CRLF of the end of a line. */
export const needsJson = (parameters) =>
  Object.values(parameters).some((value) => (Array.isArray(value) ? false : value.json !== undefined || value.includes("\n")));

/** Parameters as they stand in a JSON body: one that needs JSON is { json: its value }. */
export const plain = (parameters) =>
  Object.fromEntries(
    Object.entries(parameters).map(([name, value]) => [name, value.json === undefined ? value : value.json]),
  );

/**
 * POST inputs to a model: [{ name, kind, value: File or string }], and parameters by name.
 * accept: the media type of the answer.
 * Returns { result: a Blob where it is a picture, else what the JSON says, stages: [{ name,
 * milliseconds }], roundTrip: milliseconds }. Throws Problem, or AbortError where the signal said so.
 */
export async function predict(model, asked, accept, signal) {
  const { path, body, headers } = await encode(model, model.predictions, asked);
  const began = performance.now();
  const options = { method: "POST", body, headers: { Accept: accept, ...headers }, signal };
  const answer = await send(path, options);
  const isPicture = answer.headers.get("Content-Type")?.startsWith("image/");
  const result = isPicture ? await answer.blob() : await answer.json();
  const roundTrip = performance.now() - began;
  return { result, stages: parseServerTiming(answer.headers.get("Server-Timing")), roundTrip };
}

/** POST the same as a job; the same key a second time adds no second job. Returns the job. */
export async function submitJob(model, asked, key) {
  const { path, body, headers } = await encode(model, model.jobs, asked);
  const options = { method: "POST", body, headers: { ...headers, "Idempotency-Key": key } };
  return await (await send(path, options)).json();
}

/** Cancel or retry a job. Returns the job. */
export const changeJob = async (path, method) => (await send(path, { method })).json();

/** The job at a path where it has changed since this ETag; null where it has not. */
export async function pollJob(path, etag) {
  const headers = etag ? { "If-None-Match": etag } : {};
  const answer = await send(path, { headers, cache: "no-store" }, [304]);
  return answer.status === 304 ? null : { job: await answer.json(), etag: answer.headers.get("ETag") };
}

/** Yield { id, data } of server-sent events (WHATWG HTML, section 9.2), until the stream ends. */
export async function* events(path, lastId, signal) {
  const headers = { Accept: "text/event-stream", ...(lastId && { "Last-Event-ID": lastId }) };
  const answer = await send(path, { headers, signal, cache: "no-store" });
  if (answer.status === 204) return;
  let rest = "";
  for await (const chunk of chunks(answer.body.pipeThrough(new TextDecoderStream()))) {
    const blocks = (rest + chunk).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n").map((line) => line.match(/^(\w*): ?(.*)$/) ?? []);
      const field = (name) => lines.filter(([, found]) => found === name).map(([, , text]) => text);
      const data = field("data").join("\n");
      if (data) yield { id: field("id").at(-1), data: JSON.parse(data) };
    }
  }
}

async function* chunks(stream) {
  const reader = stream.getReader(); // Safari cannot iterate a stream
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function encode(model, path, { inputs, parameters }) {
  if (needsJson(parameters)) {
    const texts = inputs.map(async (input) => [input.name, await inJson(input)]);
    const fields = { ...Object.fromEntries(await Promise.all(texts)), ...plain(parameters) };
    return { path, body: JSON.stringify(fields), headers: { "Content-Type": "application/json" } };
  }
  if (hasOnePicture(model)) {
    const query = String(new URLSearchParams(pairs(parameters)));
    const [picture] = inputs;
    const headers = picture ? { "Content-Type": mediaType(picture.value) } : {};
    return { path: query ? `${path}?${query}` : path, body: picture?.value, headers };
  }
  const body = new FormData();
  for (const { name, kind, value } of inputs) {
    if (kind === "image") body.set(name, value, value.name || "picture");
    else body.set(name, new Blob([value])); // a string's line ends would become CRLF
  }
  for (const [name, value] of pairs(parameters)) body.append(name, value);
  return { path, body, headers: {} };
}

/** An input as it stands in JSON: a picture in base64. */
export const inJson = ({ kind, value }) => (kind === "image" ? base64(value) : value);

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/** `decode;dur=4.8, forward;dur=100` → [{ name, milliseconds }]; what has no duration is left out. */
export function parseServerTiming(header) {
  return (header ?? "").split(",").flatMap((metric) => {
    const [name, ...parameters] = metric.split(";").map((part) => part.trim());
    const duration = parameters.find((parameter) => parameter.startsWith("dur="));
    return name && duration ? [{ name, milliseconds: Number(duration.slice(4)) }] : [];
  });
}

let session = null; // where accounts are on: { authorized(ask), protocols(), renew() } of session.js

/** Have the requests under /v1 and the sockets carry the token of a session. */
export const useSession = (it) => (session = it);

/** Whether predictions count for a user: then none runs by itself. */
export const hasAccounts = () => session !== null;

/** Renew the token that a socket was refused with. Returns whether there is a new one. */
export const renewSession = async () => Boolean(await session?.renew());

/**
 * Whatever the page asks of the server goes through this, and through openSocket.
 * isOpen: it needs no user.
 */
export function request(path, { isOpen, ...options } = {}) {
  const ask = (more) => fetch(path, { ...options, headers: { ...options.headers, ...more } });
  return session && !isOpen && path.startsWith("/v1/") ? session.authorized(ask) : ask();
}

/** Open a WebSocket at a path of this server, with that query. */
export function openSocket(path, query, protocols) {
  const url = new URL(path, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  url.search = new URLSearchParams(query);
  return new WebSocket(url, [...protocols, ...(session?.protocols() ?? [])]);
}

async function send(path, options, expected = []) {
  let answer;
  try {
    answer = await request(path, options);
  } catch (error) {
    if (error.name === "AbortError" || error instanceof Problem) throw error;
    throw await unreachable(options.body !== undefined);
  }
  if (answer.ok || expected.includes(answer.status)) return answer;
  throw await asProblem(answer);
}

async function asProblem(answer) {
  const after = Number(answer.headers.get("Retry-After")) || undefined;
  const options = { retry: answer.status >= 500 || answer.status === 429, after };
  const type = answer.headers.get("Content-Type") ?? "";
  if (type.startsWith("application/problem+json")) return new Problem(await answer.json(), options);
  const title = `Unexpected answer, status ${answer.status}`;
  const detail = "it did not come from the API itself; look at what stands between here and it";
  return new Problem({ title, detail, status: answer.status }, options);
}

/** A server that lives, but hung up on an upload, did not want to read it to its end. */
async function unreachable(uploading) {
  const lives = uploading && (await request("/health").then((answer) => answer.ok, () => false));
  if (lives) {
    const detail =
      "the server hung up before it had all of it; most often a picture is too large, " +
      "so try a smaller one";
    return new Problem({ title: "The upload was cut off", detail }, { retry: true });
  }
  const detail =
    "the network is gone or the server has stopped; all inputs are still here, so try again " +
    "when the server is back";
  return new Problem({ title: "No connection to the server", detail }, { retry: true });
}
