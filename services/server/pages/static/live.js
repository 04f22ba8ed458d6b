// Keeps the parts of a page that are marked data-live as the service has them now.
// Events of the study say when to look again; where there are none, the page looks every data-every seconds.
import { ask } from "./api.js";

const SOONEST_MS = 1000;
const root = document.querySelector("[data-every]");
const away = Object.assign(document.createElement("p"), { className: "away", hidden: true, textContent: "The service does not answer; this page asks again until it does. What runs goes on." });
away.setAttribute("role", "alert");
let due = 0, running = false, told = "";

function busy(part) {
  const active = document.activeElement;
  const typing = active && part.contains(active) && active.matches("input, textarea, select");
  return typing || part.querySelector("form[data-touched]") !== null;
}

function replaced(old, fresh) {
  if (old.innerHTML === fresh.innerHTML) return;
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  const open = [...old.querySelectorAll("details[open][id]")].map((each) => each.id);
  old.replaceChildren(...fresh.childNodes);
  for (const id of open) old.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

async function refresh() {
  const answer = await ask(root.dataset.page || location.pathname, { headers: { Accept: "text/html" } });
  if (answer.status === 401) location.reload(); // leads to the sign-in page
  if (!answer.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (next && !busy(part)) replaced(part, document.importNode(next, true));
  }
  announce();
  document.dispatchEvent(new CustomEvent("refreshed"));
}

/** Say aloud what changed, and nothing as long as nothing did. */
function announce() {
  const text = document.querySelector("[data-announce]")?.textContent.trim() || "";
  if (told && text !== told) document.getElementById("announcer").textContent = text;
  told = text;
}

async function look() {
  if (running || document.hidden) return;
  running = true;
  const began = performance.now();
  away.hidden = await refresh().then(() => true, () => false); // the service may be starting again
  // what takes the service long is asked for less often
  due = performance.now() + Math.max(SOONEST_MS, 5 * (performance.now() - began));
  running = false;
}

let timer = null;
function soon() {
  if (timer !== null) return;
  timer = setTimeout(() => { timer = null; look(); }, Math.max(0, due - performance.now()));
}

if (root) {
  document.body.append(away, Object.assign(document.createElement("p"), { id: "announcer", className: "unseen" }));
  document.getElementById("announcer").setAttribute("role", "status");
  announce();
  document.addEventListener("input", (event) => event.target.closest?.("form")?.setAttribute("data-touched", ""));
  setInterval(soon, 1000 * Number(root.dataset.every));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
  if (root.dataset.events) {
    const events = new EventSource(root.dataset.events);
    for (const kind of ["run_started", "run_ended", "search_started", "trial_started", "epoch", "trial_ended", "phase", "notice", "pause_started", "loading", "budgets", "status"]) {
      events.addEventListener(kind, soon);
    }
    addEventListener("pagehide", () => events.close());
  }
}
