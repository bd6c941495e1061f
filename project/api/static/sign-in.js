// The card in place of the bench while no one is signed in: sign in, register, set a new password.

import { call } from "./client.js";
import { announce, button, byId, element } from "./dom.js";
import { form } from "./forms.js";
import { signIn } from "./session.js";
import { styled } from "./account.js";

const OPEN = { isOpen: true };
const SENT =
  "If there is an account with this e-mail, a link to set a new password is on its way. " +
  "It works for an hour.";

const PASSWORD = { name: "password", label: "Password", type: "password" };
const NEW_PASSWORD = { ...PASSWORD, autocomplete: "new-password", hint: "12 characters or more." };
const EMAIL = { name: "email", label: "E-mail", type: "email", autocomplete: "email" };

let accounts = null;
let card = null;

/**
 * Show the card until the promise is kept. given: what /metadata says of accounts. resetToken: of a
 * link that sets a new password. user: who was signed in before.
 */
export async function show(given, promise, resetToken, user) {
  accounts = given;
  if (card) return showNewPassword(resetToken);
  await styled();
  document.querySelector("dialog[open]")?.close();
  const before = document.activeElement;
  card = element("section", { className: "card account-card" });
  card.setAttribute("aria-labelledby", "account-title");
  byId("bench").before(card);
  document.body.classList.add("signed-out");
  if (resetToken) showNewPassword(resetToken);
  else showSignIn(user ? "Signed out. Your picture and settings are kept." : "");
  if (user) announce("Signed out.");
  await promise;
  card.remove();
  card = null;
  document.body.classList.remove("signed-out");
  const isThere = before.isConnected && before !== document.body && before.checkVisibility();
  (isThere ? before : byId("models").querySelector("[aria-current]"))?.focus();
}

function fill(title, words, shown, ...ways) {
  card.replaceChildren(
    element("h2", { id: "account-title" }, title),
    element("p", { className: "hint" }, words),
    shown,
    element("div", { className: "row-of-buttons" }, ...ways.filter(Boolean)),
  );
  shown.querySelector("input").focus();
}

const back = () => button("Sign in instead", () => showSignIn());

function showSignIn(words = "") {
  const fields = [
    { name: "username", label: "E-mail or username", autocomplete: "username", autocapitalize: "none" },
    { ...PASSWORD, autocomplete: "current-password" },
  ];
  const shown = form(fields, "Sign in", ({ username = "", password = "" }) => signIn(username, password));
  const mayRegister = accounts.registration !== "closed";
  fill(
    "Sign in",
    words || "This server needs an account.",
    shown,
    mayRegister && button("Create an account", showRegister),
    accounts.mails_reset_links && button("Forgot the password?", showForgotten),
  );
}

function showRegister() {
  const { registration, documents, document_required: isRequired } = accounts;
  const kinds = documents.join(" or ");
  const fields = [
    EMAIL,
    { name: "username", label: "Username", autocomplete: "username", autocapitalize: "none" },
    { name: "full_name", label: "Full name", autocomplete: "name", hint: "First and last name." },
    NEW_PASSWORD,
    kinds && { name: "document", label: "Document", hint: `The number of ${kinds}.${isRequired ? "" : " Optional."}` },
    registration === "invitation" && { name: "invitation", label: "Invitation", autocomplete: "off" },
  ];
  const shown = form(fields.filter(Boolean), "Create the account", async (values) => {
    await call("POST", "/v1/users", values, OPEN);
    await signIn(values.username, values.password);
  });
  fill("Create an account", "", shown, back());
}

function showForgotten() {
  const shown = form([EMAIL], "Send the link", async (values) => {
    await call("POST", "/v1/passwords/reset-requests", values, OPEN);
    showSignIn(SENT);
  });
  fill("Set a new password", "A link comes by mail.", shown, back());
}

function showNewPassword(token) {
  const keep = element("input", { type: "checkbox", name: "keep" });
  const fields = [
    { ...NEW_PASSWORD, label: "New password" },
    element("label", { className: "option" }, keep, "Keep my API keys"),
  ];
  const shown = form(fields, "Set the password", async ({ password }) => {
    const body = { token, password, revoke_keys: !keep.checked };
    await call("POST", "/v1/passwords", body, OPEN);
    showSignIn("The new password is set: sign in with it.");
  });
  fill("Set a new password", "It signs you out everywhere else, and revokes your API keys.", shown, back());
}
