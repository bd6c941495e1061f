// Who is signed in: the tokens, their renewal, and what waits while there are none.
//
// The access token is in memory alone. The refresh token is in sessionStorage at most, so that a
// reload signs nobody out: other tabs do not see it, and it goes with its tab. A script that ran in
// this page could read both. So the page takes no script from elsewhere (its Content-Security-
// Policy), and the refresh token works once: where a copy is used too, the server revokes both. A
// duplicated tab has such a copy.

import { call, getJson, useSession } from "./client.js";
import { store, stored } from "./dom.js";

const KEY = "vitrine.refresh";
const EARLY = 0.2; // share of its time that a token has left when it is renewed
const MONTH = /"month";r=(\d+);t=(\d+)/; // in RateLimit: what is left, and for how many seconds

let accounts = null; // what /metadata says of them
let token = null; // { text, renewAt }
let refreshToken = stored("sessionStorage", KEY) ?? "";
let renewing = null; // the one renewal that all requests wait for
let waiting = null; // { promise, resolve } of the requests, while the card is shown
let user = null; // what GET /v1/users/me says

/** Begin with what /metadata says of accounts. resetToken: of a link that sets a new password. */
export function begin(given, resetToken) {
  accounts = given;
  useSession({ authorized, protocols, renew: renewForSocket });
  if (resetToken) setPassword(resetToken);
  else if (refreshToken) loadUser().catch(() => {}); // other requests show the same problem
}

/** Show the card for a new password; whoever was signed in here is not any more. */
export function setPassword(resetToken) {
  end();
  signedIn(resetToken);
}

/** Sign in; the requests that waited go on. Throws Problem. */
export async function signIn(username, password) {
  const form = new URLSearchParams({ username, password });
  take(await call("POST", "/v1/tokens", form, { isOpen: true }));
  await loadUser();
  waiting?.resolve();
  waiting = null;
}

/** Sign out, here or in all browsers; nothing of the user stays in this tab. Throws Problem. */
export async function signOut(everywhere) {
  store("sessionStorage", KEY, ""); // first, whatever the server says
  if (!token || performance.now() > token.renewAt) await renew().catch(() => {});
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${token?.text}` };
  const body = everywhere ? undefined : { refresh_token: refreshToken };
  await call("DELETE", "/v1/tokens", body, { isOpen: true, headers }).catch((error) => {
    if (everywhere && error.status !== 401) throw error;
  });
  forget();
}

/** Read the user anew, and show it. Returns it. Throws Problem. */
export async function loadUser() {
  const found = await getJson("/v1/users/me");
  if (user && user.id !== found.id) return forget(refreshToken); // pictures and jobs are the other's
  user = found;
  return showUser();
}

/**
 * Ask with a token; renew it before its end or once it is refused, and else wait for a sign-in. A
 * new one may be refused too, where an instance does not have its key yet: that ends no session.
 */
async function authorized(ask) {
  for (const recover of [renew, null]) {
    const { text } = await current();
    const answer = await ask({ Authorization: `Bearer ${text}` });
    showMonth(answer.headers.get("RateLimit"));
    if (answer.status !== 401 || !recover) return answer;
    if (token?.text === text) await recover(); // else another request has renewed it
  }
}

async function current() {
  if (!token || performance.now() > token.renewAt) {
    await renew().catch((error) => {
      if (!token) throw error; // else it may still be valid
    });
  }
  while (!token) await signedIn();
  return token;
}

const protocols = () => (token ? [`vitrine.bearer.${token.text}`] : []);

/** Returns whether there is a new token; without one the user has to sign in. Throws Problem. */
function renew() {
  return (renewing ??= exchange().finally(() => (renewing = null)));
}

/** A socket cannot wait: where there is no new token, the card is shown and the stream ends. */
async function renewForSocket() {
  const isNew = await renew();
  if (!isNew) signedIn();
  return isNew;
}

async function exchange() {
  const used = refreshToken;
  const wasReplaced = () => refreshToken !== used; // by a sign-in meanwhile
  if (!used) return end();
  try {
    const tokens = await call("POST", "/v1/tokens/refresh", { refresh_token: used }, { isOpen: true });
    return wasReplaced() || take(tokens);
  } catch (error) {
    if (error.status !== 401 && error.status !== 422) throw error;
    return wasReplaced() || end();
  }
}

function take({ access_token: text, refresh_token: next, expires_in: seconds }) {
  token = { text, renewAt: performance.now() + seconds * (1 - EARLY) * 1000 };
  refreshToken = next;
  store("sessionStorage", KEY, next);
  return true;
}

function end() {
  [token, refreshToken] = [null, ""];
  store("sessionStorage", KEY, "");
  return false;
}

/** Load the page anew, so that nothing of a user is left in memory. Never returns. */
function forget(next = "") {
  store("sessionStorage", KEY, next);
  store("sessionStorage", "vitrine.jobs", "");
  location.reload();
  return new Promise(() => {});
}

/** Show the card; the promise is kept once someone has signed in. */
function signedIn(resetToken) {
  const isShown = waiting !== null;
  if (!isShown) {
    waiting = {};
    waiting.promise = new Promise((resolve) => (waiting.resolve = resolve));
  }
  const { promise } = waiting;
  if (!isShown || resetToken) {
    import("./sign-in.js").then(({ show }) => show(accounts, promise, resetToken, user));
  }
  return promise;
}

async function showUser() {
  (await import("./account.js")).showUser(user);
  return user;
}

function showMonth(field) {
  const [, left, seconds] = field?.match(MONTH) ?? [];
  if (!left || !user) return;
  const at = new Date(Date.now() + seconds * 1000).toISOString();
  Object.assign(user, { month_left: Number(left), month_ends_at: at });
  showUser();
}
