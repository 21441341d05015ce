// Acting as an operator: asks once for the token, keeps it in this tab alone, and says why the server refused.
//
// The token goes in a header of a request that this page makes, never in an address or a cookie: so another site's page has
// nothing that the browser would send along for it.

import { reveal, say } from "./elements.js";

const KEY = "edgewise operator token";
const at = (id) => document.getElementById(id);

const dialog = at("ask");
let asked = null; // { path, done } while the dialog is open

const kept = () => sessionStorage.getItem(KEY) ?? "";

function remember(token) {
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
  reveal(at("person"), Boolean(token));
  say(at("person-said"), "An operator's token is kept in this tab until it is closed.");
}

// Asks whether to do it (title, sentence, word on the button), posts to `path` and calls back with the server's sentence.
export function ask({ title, sentence, word, path, tone, done }) {
  asked = { path, done };
  say(at("ask-title"), title);
  say(at("ask-said"), sentence);
  say(at("ask-do"), word);
  at("ask-do").dataset.tone = tone ?? "";
  say(at("ask-refused"), "");
  want(!kept());
  dialog.showModal();
  (kept() ? at("ask-do") : at("token")).focus();
}

function want(token) {
  reveal(at("ask-token"), token);
  reveal(at("token-note"), token);
}

async function post(path, token) {
  const response = await fetch(path, { method: "POST", headers: { Authorization: `Bearer ${token}` }, credentials: "omit" });
  return [response.status, (await response.text()).trim()];
}

at("ask-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = kept() || at("token").value.trim();
  if (!token) {
    say(at("ask-refused"), "A token is needed.");
    at("token").focus();
    return;
  }
  at("ask-do").disabled = true;
  try {
    const [status, said] = await post(asked.path, token);
    if (status < 300) {
      remember(token);
      dialog.close();
      asked.done(said);
      return;
    }
    if (status === 401 || status === 403) {
      remember("");
      want(true);
      at("token").select();
    }
    say(at("ask-refused"), said || `The server refused it (HTTP status ${status}).`);
  } catch {
    say(at("ask-refused"), "The server could not be reached; nothing is known to have changed.");
  } finally {
    at("ask-do").disabled = false;
    if (dialog.open && !at("ask-token").hidden) at("token").focus();
  }
});

at("ask-cancel").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  at("token").value = "";
});
at("forget").addEventListener("click", () => remember(""));
remember(kept());
