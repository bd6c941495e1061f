// The live strip: every two seconds /ready and /metrics are read, and what changed is shown.

import { byId, milliseconds } from "./dom.js";
import { buckets, increase, parse, quantile, sum } from "./prometheus.js";
import { draw } from "./sparkline.js";

const EVERY = 2_000; // milliseconds
const SPAN = 120_000; // what the sparklines show
const PATIENCE = 10_000; // a read that takes longer has failed
const OFF = {
  401: "Live figures are off here: /metrics asks for a token.",
  404: "Live figures are off here: /metrics is not on this port.",
};

const history = { rate: [], latency: [], predictions: [] };
let previous = null; // the last scrape: { at, samples }
let metricsOff = false;
let timer = null;
let reading = false;

/** Begin, and rest while nobody looks. */
export function watch() {
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    previous = null; // what happened meanwhile was not in two seconds
    if (!document.hidden) tick();
  });
  tick();
}

async function tick() {
  if (reading || document.hidden) return;
  reading = true;
  await Promise.all([readState(), metricsOff ? null : readMetrics()]);
  reading = false;
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(tick, EVERY);
}

async function readState() {
  try {
    const answer = await read("/ready");
    const { status, checks } = await answer.json();
    const failing = Object.keys(checks).filter((name) => !checks[name].ok);
    if (answer.ok) showState("good", "Ready");
    else showState("bad", `Not ready: ${failing.join(", ") || status}`);
  } catch {
    showState("bad", "No answer");
  }
}

function showState(state, words) {
  const pill = byId("state");
  if (pill.textContent === words) return; // a screen reader speaks at a change alone
  pill.textContent = words;
  pill.dataset.state = state;
}

async function readMetrics() {
  try {
    const answer = await read("/metrics");
    if (OFF[answer.status]) turnOff(answer.status);
    else if (answer.ok) take(Date.now(), parse(await answer.text()));
    else previous = null;
  } catch {
    previous = null; // the server is gone; the state says so
  }
}

const read = (path) => fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });

function turnOff(status) {
  metricsOff = true;
  byId("live-off").textContent = OFF[status];
  byId("live-off").hidden = false;
  byId("tiles").hidden = true;
  byId("metrics-link").hidden = status === 404;
}

function take(at, samples) {
  const made = sum(samples, "inference_requests_total", { outcome: "ok" });
  if (previous) {
    const seconds = (at - previous.at) / 1000;
    const gains = increase(previous.samples, samples);
    const latency = quantile(0.95, buckets(gains, "http_request_duration_seconds"));
    keep("rate", at, sum(gains, "http_requests_total") / seconds);
    keep("latency", at, latency * 1000);
    keep("predictions", at, sum(gains, "inference_requests_total", { outcome: "ok" }));
    show(at);
  }
  byId("predictions").querySelector(".value").textContent = made.toLocaleString("en");
  previous = { at, samples };
}

function keep(name, at, value) {
  history[name] = [...history[name].filter((point) => at - point.at < SPAN), { at, value }];
}

function show(now) {
  const last = (name) => history[name].findLast(({ value }) => Number.isFinite(value));
  const rate = last("rate").value;
  tile("rate", rate ? rate.toFixed(1) : "0", "probes and scrapes not counted", now);
  const latency = last("latency");
  if (latency) tile("latency", milliseconds(latency.value), `all routes, ${age(now, latency)}`, now);
  else tile("latency", "–", "no request in this time", now);
  const gained = history.predictions.reduce((total, { value }) => total + value, 0);
  tile("predictions", null, `${gained.toLocaleString("en")} in the time shown`, now);
}

function age(now, { at }) {
  const seconds = Math.round((now - at) / 1000);
  return seconds < EVERY / 1000 ? "now" : `${seconds} s ago`;
}

function tile(id, words, note, now) {
  const into = byId(id);
  if (words !== null) into.querySelector(".value").textContent = words;
  into.querySelector(".note").textContent = note;
  draw(into.querySelector("svg"), history[id], now - SPAN, now);
}
