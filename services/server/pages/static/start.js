// The form that starts a study: shows the same as a command and as a file while it is filled in, and what is wrong.
import { ask, make } from "./api.js";

const form = document.getElementById("start");
const verdict = document.getElementById("verdict");
const look = document.getElementById("look");
let timer = null, latest = 0;

function show(problems) {
  for (const place of form.querySelectorAll("[data-problems]")) {
    const name = place.dataset.problems, rules = problems[name] || [];
    const id = `wrong-${name}`;
    place.replaceChildren(...(rules.length ? [make("ul", { class: "wrong", id }, ...rules.map((rule) => make("li", {}, rule)))] : []));
    const control = document.getElementById(`f-${name}`);
    if (!control) continue;
    control.toggleAttribute("aria-invalid", rules.length > 0);
    if (rules.length) control.setAttribute("aria-invalid", "true");
    const described = (control.getAttribute("aria-describedby") || "").split(" ").filter((each) => each && each !== id);
    control.setAttribute("aria-describedby", [...described, ...(rules.length ? [id] : [])].join(" "));
  }
  const count = Object.values(problems).flat().length;
  verdict.textContent = count ? `${count} ${count === 1 ? "thing is" : "things are"} to be mended.` : "";
}

async function check() {
  const mine = ++latest;
  const answer = await ask("/new/check", { method: "POST", body: new URLSearchParams(new FormData(form)) });
  if (!answer.ok || mine !== latest) return;
  const found = await answer.json();
  show(found.errors);
  if (found.command) {
    document.getElementById("command").textContent = found.command;
    document.getElementById("toml").textContent = found.toml;
  }
}

async function preview() {
  const name = document.getElementById("f-data").value;
  look.replaceChildren(make("p", { class: "soft" }, "Reading the images …"));
  const answer = await ask(`/datasets/${encodeURIComponent(name)}/look`).catch(() => null);
  if (name !== document.getElementById("f-data").value) return;
  const page = answer?.ok ? new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("found") : null;
  look.replaceChildren(page ? document.importNode(page, true) : make("p", { class: "soft" }, "There is no preview of these images."));
}

form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(check, 300); });
form.addEventListener("submit", () => { document.getElementById("go").disabled = true; });
addEventListener("pageshow", () => { document.getElementById("go").disabled = false; });
form.addEventListener("click", async (event) => {
  const from = event.target.dataset?.copy;
  if (!from) return;
  await navigator.clipboard?.writeText(document.getElementById(from).textContent);
  verdict.textContent = "Copied.";
});
document.getElementById("do-look").addEventListener("click", preview);
document.getElementById("f-data").addEventListener("change", () => look.replaceChildren());
document.getElementById("problems")?.focus();
