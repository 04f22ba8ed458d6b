// The curves of a trial, and what its network answers, which is asked for once the page is there.
import { ask, json } from "./api.js";
import { FAMILY_COLOURS, chart, onTheme } from "./charts.js";

const place = document.getElementById("charts"), answers = document.getElementById("answers");
let data = null;

function line(id, series, unit) {
  const datasets = series.map(([name, values], index) => ({
    label: name, borderColor: FAMILY_COLOURS[index], backgroundColor: FAMILY_COLOURS[index], pointRadius: 3, tension: 0, pointStyle: index ? "rectRot" : "circle",
    data: data.epochs.map((epoch, place) => ({ x: epoch, y: values[place] })),
  }));
  chart(id, {
    type: "line", data: { datasets },
    options: {
      interaction: { mode: "index", intersect: false },
      scales: { x: { type: "linear", title: { display: true, text: "epoch" }, ticks: { precision: 0 } }, y: { title: { display: true, text: unit } } },
      plugins: { legend: { display: series.length > 1, position: "bottom", labels: { usePointStyle: true } } },
    },
  }, data.epochs.length);
}

function draw() {
  if (!data) return;
  line("score", [["validation accuracy", data.val_accuracy]], "validation accuracy");
  line("loss", [["training", data.train_loss], ["validation", data.val_loss]], "cross entropy (nats)");
  const last = data.epochs.length - 1;
  document.getElementById("score-says").textContent = last < 0 ? "No epoch has ended yet." : `From ${(100 * data.val_accuracy[0]).toFixed(2)} % after the first epoch to ${(100 * data.val_accuracy[last]).toFixed(2)} % after epoch ${data.epochs[last]}.`;
  document.getElementById("loss-says").textContent = last < 0 ? "" : `The validation loss went from ${data.val_loss[0].toFixed(3)} to ${data.val_loss[last].toFixed(3)}.`;
}

async function look() {
  const fresh = await json(place.dataset.curve);
  if (JSON.stringify(fresh) === JSON.stringify(data)) return;
  data = fresh;
  draw();
}

async function fetchAnswers() {
  const answer = await ask(answers.dataset.fetch, { headers: { Accept: "text/html" } });
  const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("found");
  if (found) answers.replaceChildren(document.importNode(found, true));
  answers.setAttribute("aria-busy", "false");
}

document.addEventListener("refreshed", () => look().catch(() => {}));
onTheme(draw);
look();
fetchAnswers();
