// The pill that says whether the server is ready, and one banner while it does not answer.

import { request } from "./client.js";
import { button, byId, element } from "./dom.js";

const EVERY = 2; // seconds
const MAX_WAIT = 10;
const TIMEOUT = 10_000; // milliseconds

let timer = null;
let misses = 0;
let asking = false;

/** Begin, and rest while nobody looks. */
export function watchReadiness() {
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) ask();
  });
  addEventListener("online", ask);
  ask();
}

async function ask() {
  if (asking || document.hidden) return;
  asking = true;
  clearTimeout(timer);
  try {
    const options = { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) };
    const answer = await request("/ready", options);
    const { status, checks } = await answer.json();
    const failing = Object.keys(checks).filter((name) => !checks[name].ok);
    if (answer.ok) showState("good", "Ready");
    else showState("bad", `Not ready: ${failing.join(", ") || status}`);
    misses = 0;
    hideBanner();
  } catch {
    misses += 1;
    showState("bad", "No answer");
  }
  asking = false;
  if (misses) countDown(Math.min(MAX_WAIT, 2 ** misses));
  else if (!document.hidden) timer = setTimeout(ask, EVERY * 1000);
}

function showState(state, words) {
  const pill = byId("state");
  if (pill.textContent === words) return; // a screen reader speaks at a change alone
  pill.textContent = words;
  pill.dataset.state = state;
}

/** The sentence is spoken once; the seconds are for the eye. */
function countDown(seconds) {
  const banner = byId("banner");
  if (banner.hidden || !banner.querySelector(".seconds")) {
    const kept = "Your picture and settings are kept.";
    const left = element("span", { className: "seconds", ariaHidden: "true" });
    const words = element("p", {}, "The server does not answer. ", left, kept);
    banner.replaceChildren(words, button("Try now", ask));
    banner.hidden = false;
  }
  const left = banner.querySelector(".seconds");
  const tick = (rest) => {
    left.textContent = `Next try in ${rest} s. `;
    timer = setTimeout(() => (rest > 1 ? tick(rest - 1) : ask()), 1000);
  };
  tick(seconds);
}

function hideBanner() {
  const banner = byId("banner");
  if (banner.hidden || !banner.querySelector(".seconds")) return;
  if (banner.contains(document.activeElement)) byId("answer-title").focus();
  banner.replaceChildren(element("p", {}, "The server answers again."));
  setTimeout(() => (banner.hidden = !banner.querySelector(".seconds")), 3_000);
}
