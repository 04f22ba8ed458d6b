// The slider that chooses an ensemble by what one can afford, and the picture that an export is tried on.
import { ask, count, json, make, reasons, table } from "./api.js";
import { FAMILY_COLOURS, chart, colours, logarithmic, onTheme } from "./charts.js";

const front = document.getElementById("front"), slider = document.getElementById("afford"), choosing = document.getElementById("choosing");
const UNITS = { params: (cost) => `${count(cost)} parameters`, latency: (cost) => `${Number(cost.toPrecision(3))} ms` };
let fronts = {}, cost = "params", told = "";

const points = () => fronts[cost] || [];
const percent = (share) => `${(100 * share).toFixed(2)} %`;

function draw() {
  const all = points(), here = Number(slider.value);
  chart("front-chart", {
    type: "line",
    data: { datasets: [{
      label: "ensembles", stepped: "before", borderColor: FAMILY_COLOURS[0], data: all.map((each) => ({ x: each.cost, y: each.accuracy })),
      pointRadius: (context) => (context.dataIndex === here ? 8 : 4), pointBackgroundColor: (context) => (context.dataIndex === here ? FAMILY_COLOURS[1] : FAMILY_COLOURS[0]), pointBorderColor: colours().card,
    }] },
    options: {
      onClick: (event, found) => { if (found[0]) { slider.value = found[0].index; choose(); } },
      scales: { x: { type: "logarithmic", title: { display: true, text: cost === "params" ? "parameters" : "latency of one image (ms)" }, ticks: logarithmic(cost === "params" ? count : String) }, y: { title: { display: true, text: "validation accuracy" }, ticks: { callback: (value) => `${Number((100 * value).toFixed(1))} %` } } },
      plugins: { legend: { display: false }, tooltip: { callbacks: { label: (item) => `${percent(item.parsed.y)} at ${UNITS[cost](item.parsed.x)}` } } },
    },
  }, all.length);
}

function choose() {
  const point = points()[Number(slider.value)];
  if (!point) return;
  const members = point.members.length;
  slider.setAttribute("aria-valuetext", `${UNITS[cost](point.cost)}, accuracy ${percent(point.accuracy)}`);
  document.getElementById("chosen").replaceChildren(make("strong", {}, percent(point.accuracy)), ` on validation images with ${UNITS[cost](point.cost)}, by ${members} ${members === 1 ? "network" : "networks"}.`);
  document.getElementById("chosen-members").replaceChildren(table("Members of the chosen ensemble", ["Trial", "Family", "Weight"], point.members.map((each) => [make("a", { href: front.dataset.trials + each.number }, String(each.number)), each.family, percent(each.weight)]), [2]));
  document.getElementById("max_params").value = cost === "params" ? Math.ceil(point.cost) : "";
  document.getElementById("max_latency").value = cost === "latency" ? `${Number((point.cost * 1.001).toPrecision(6))}ms` : "";
  draw();
}

function show() {
  const known = Object.keys(fronts).filter((each) => fronts[each].length);
  choosing.hidden = !known.length;
  if (!known.length) return;
  if (!known.includes(cost)) cost = known[0];
  for (const radio of document.querySelectorAll("[name=front-cost]")) {
    radio.disabled = !known.includes(radio.value);
    radio.checked = radio.value === cost;
  }
  slider.max = points().length - 1;
  slider.value = points().length - 1;
  choose();
}

async function look() {
  const fresh = await json(front.dataset.fronts);
  if (JSON.stringify(fresh) === told) return;
  told = JSON.stringify(fresh);
  fronts = fresh;
  show();
}

const drop = document.getElementById("drop"), answer = document.getElementById("answer"), picture = document.getElementById("picture");

/** Offer the exports that there are by now. */
function exportsNow() {
  const which = document.getElementById("which");
  const known = [...document.querySelectorAll("[data-export]")];
  const ids = known.map((row) => row.dataset.export);
  if (ids.join() === [...which.options].map((each) => each.value).join()) return;
  const chosen = which.value;
  which.replaceChildren(...known.map((row) => make("option", { value: row.dataset.export }, row.querySelector("th").textContent)));
  if (ids.includes(chosen)) which.value = chosen;
  document.getElementById("try").hidden = !ids.length;
}

async function predict(file) {
  if (!file) return;
  const shown = make("img", { alt: "The picture" });
  shown.src = URL.createObjectURL(file);
  document.getElementById("shown").replaceChildren(shown);
  answer.replaceChildren(make("p", { class: "soft" }, "Asking the ensemble …"));
  const which = document.getElementById("which").value;
  const said = await ask(`${document.getElementById("try").dataset.predict}?export=${which}&top=5`, {
    method: "POST", body: file, headers: { "Content-Type": file.type || "application/octet-stream", Accept: "application/json" },
  }).catch(() => null);
  const body = said ? await said.json().catch(() => ({})) : {};
  if (!said?.ok) {
    answer.replaceChildren(make("p", { class: "wrong" }, reasons(body) || "The service does not answer."));
    return;
  }
  // an object's names that look like numbers come in their own order
  const top = Object.entries(body.top).sort((one, other) => other[1] - one[1]);
  const rows = top.map(([name, share]) => {
    const bar = make("progress", { max: "1", "aria-label": name });
    bar.value = share;
    return make("li", {}, make("span", {}, name), bar, make("span", { class: "number" }, percent(share)));
  });
  answer.replaceChildren(make("p", {}, "It is ", make("strong", {}, top[0][0]), "."), make("ol", { class: "bars", "aria-label": "Probabilities" }, ...rows));
}

slider.addEventListener("input", choose);
document.getElementById("cost-choice").addEventListener("change", (event) => { cost = event.target.value; show(); });
picture.addEventListener("change", () => predict(picture.files[0]));
document.getElementById("which").addEventListener("change", () => predict(picture.files[0]));
for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) { picture.files = event.dataTransfer.files; predict(picture.files[0]); }
});
document.addEventListener("refreshed", () => { look().catch(() => {}); exportsNow(); });
onTheme(() => { if (points().length) draw(); });
look();
