// The charts of a study, drawn by Chart.js from what the service says, and drawn again when that changes.
import { count, json, make, table } from "./api.js";
import { FAMILY_COLOURS, STATES, chart, colours, logarithmic, onTheme } from "./charts.js";

const place = document.getElementById("charts");
const says = (name, text) => { document.getElementById(`${name}-says`).textContent = text; };
let data = null, knobs = null, told = "";

const shownScore = (value) => (data.quality.share ? `${(100 * value).toFixed(2)} %` : value.toFixed(4));
const colourOf = (family) => FAMILY_COLOURS[data.families.indexOf(family) % FAMILY_COLOURS.length];
const open = (trial) => { location.href = place.dataset.trials + trial; };

function scoreAxis(values) {
  const sorted = values.filter((each) => each !== null).sort((one, other) => one - other);
  const worst = data.quality.maximize ? sorted[Math.floor(sorted.length * 0.1)] : sorted[Math.floor(sorted.length * 0.9)];
  const best = data.quality.maximize ? sorted.at(-1) : sorted[0];
  const room = Math.max(Math.abs(best - worst), 0.03), step = room > 0.3 ? 0.1 : room > 0.1 ? 0.05 : 0.01;
  const down = (value) => Math.floor(value / step) * step, up = (value) => Math.ceil(value / step) * step;
  const bounds = data.quality.maximize ? { min: Math.max(0, down(worst - room * 0.2)) } : { max: up(worst + room * 0.2) };
  if (data.quality.maximize && data.quality.share) bounds.max = Math.min(1, up(best + room * 0.05));
  const ticks = { callback: (value) => (data.quality.share ? `${Number((100 * value).toFixed(1))} %` : value) };
  return { ...bounds, title: { display: true, text: data.quality.label }, ticks };
}

function families(trials) {
  return data.families.filter((family) => trials.some((each) => each.family === family));
}

function curves() {
  const { trials, total } = data.curves;
  const few = trials.length <= 30;
  const datasets = trials.map((each) => {
    const ended = STATES[each.state] || STATES.completed, last = each.epochs.length - 1;
    const mark = (context) => context.dataIndex === last && each.state !== "completed";
    return {
      label: `trial ${each.trial}, ${each.family}`, trial: each.trial, why: each.reason || each.state, family: each.family,
      data: each.epochs.map((epoch, index) => ({ x: epoch, y: each.scores[index] })),
      borderColor: colourOf(each.family) + (few ? "" : "b0"), borderWidth: few ? 2 : 1.2, tension: 0,
      pointStyle: ended.style, pointBorderColor: colours().text, pointBackgroundColor: colourOf(each.family),
      pointRadius: (context) => (mark(context) ? 5 : each.epochs.length === 1 ? 3 : 0), pointHoverRadius: 6,
    };
  });
  chart("curves", {
    type: "line", data: { datasets },
    options: {
      interaction: { mode: "nearest", intersect: false },
      onClick: (event, found, drawn) => { if (found[0]) open(drawn.data.datasets[found[0].datasetIndex].trial); },
      scales: { x: { type: "linear", title: { display: true, text: "epoch" }, ticks: { precision: 0 } }, y: scoreAxis(trials.flatMap((each) => each.scores)) },
      plugins: {
        legend: legendOf(families(trials)),
        tooltip: { callbacks: { title: (items) => items[0].dataset.label, label: (item) => [`epoch ${item.parsed.x}: ${shownScore(item.parsed.y)}`, item.dataset.why] } },
      },
    },
  }, trials.length);
  if (!trials.length) return says("curves", "No trial has finished an epoch yet.");
  const stopped = trials.filter((each) => each.state === "stopped").length;
  const shown = trials.length < total ? `${trials.length} of ${total} trials, the best ones and a sample of the others` : `${total} trials`;
  const crosses = stopped ? `; ${stopped} of them end at a cross, as they were stopped` : "";
  says("curves", `${shown}${crosses}. A click opens a trial.`);
}

function legendOf(names) {
  return {
    position: "bottom", onClick: null,
    labels: { usePointStyle: true, generateLabels: () => names.map((name) => ({ text: name, fillStyle: colourOf(name), strokeStyle: colourOf(name), pointStyle: "circle", fontColor: colours().text })) },
  };
}

function costs() {
  const cost = document.getElementById("cost").value, { points, fronts, labels, total } = data.costs;
  const placed = points.filter((each) => each[cost] !== null && each.score !== null);
  const front = fronts[cost].map((number) => placed.find((each) => each.trial === number)).filter(Boolean);
  const datasets = families(placed).map((family) => ({
    type: "scatter", label: family, backgroundColor: colourOf(family) + "cc", pointRadius: placed.length > 300 ? 2.5 : 4.5, pointHoverRadius: 7,
    data: placed.filter((each) => each.family === family).map((each) => ({ x: each[cost], y: each.score, trial: each.trial, state: each.state })),
  }));
  datasets.push({
    type: "line", label: "not surpassed", stepped: "before", borderColor: colours().text, borderWidth: 1.5, pointStyle: "circle", pointRadius: 6,
    pointBackgroundColor: "transparent", pointBorderColor: colours().text, data: front.map((each) => ({ x: each[cost], y: each.score, trial: each.trial, state: each.state })),
  });
  chart("costs", {
    type: "scatter", data: { datasets },
    options: {
      onClick: (event, found, drawn) => { if (found[0]) open(drawn.data.datasets[found[0].datasetIndex].data[found[0].index].trial); },
      scales: { x: { type: "logarithmic", title: { display: true, text: labels[cost] }, ticks: logarithmic(count) }, y: scoreAxis(placed.map((each) => each.score)) },
      plugins: { legend: { position: "bottom", labels: { usePointStyle: true } }, tooltip: { callbacks: { label: (item) => `trial ${item.raw.trial}: ${shownScore(item.raw.y)} at ${count(item.raw.x)}, ${item.raw.state}` } } },
    },
  }, placed.length);
  document.getElementById("costs-table").parentElement.hidden = !front.length;
  document.getElementById("costs-table").replaceChildren(table(
    "Trials that none surpasses", ["Trial", "Family", labels[cost], data.quality.label],
    front.map((each) => [make("a", { href: place.dataset.trials + each.trial }, String(each.trial)), each.family, count(each[cost]), shownScore(each.score)]), [2, 3]));
  const best = front.at(-1);
  says("costs", best ? `${placed.length < total ? `${placed.length} of ` : ""}${total} judged trials. ${front.length} are surpassed by none; the best of them is trial ${best.trial}, ${shownScore(best.score)} at ${count(best[cost])}.` : "No trial was judged yet.");
}

function best() {
  const steps = data.best;
  chart("best", {
    type: "line",
    data: { datasets: [{ label: data.quality.label, stepped: "before", borderColor: FAMILY_COLOURS[0], backgroundColor: FAMILY_COLOURS[0] + "22", fill: "start", pointRadius: 3, data: steps.map((each) => ({ x: each.at, y: each.score, trial: each.trial })) }] },
    options: {
      scales: { x: { type: "linear", title: { display: true, text: `time (${data.timeline.unit})` } }, y: scoreAxis(steps.map((each) => each.score)) },
      plugins: { legend: { display: false }, tooltip: { callbacks: { title: () => "", label: (item) => `trial ${item.raw.trial}: ${shownScore(item.raw.y)}` } } },
    },
  }, steps.length);
  const last = steps.at(-1);
  says("best", last ? `There were ${steps.length} best scores, one after the other; the last is that of trial ${last.trial}, ${shownScore(last.score)}.` : "No trial has ended yet.");
}

function timeline() {
  const { bars, workers, total, unit } = data.timeline;
  const labels = Array.from({ length: workers }, (_, index) => `worker ${index + 1}`);
  const states = Object.keys(STATES).filter((state) => bars.some((each) => each.state === state));
  const datasets = states.map((state) => ({
    label: state, backgroundColor: colours()[STATES[state].colour], borderColor: colours().card, borderWidth: bars.length > 200 ? 0 : 1, borderSkipped: false, grouped: false, barPercentage: 0.9, categoryPercentage: 0.9,
    data: bars.filter((each) => each.state === state).map((each) => ({ x: [each.began, each.ended], y: `worker ${each.worker}`, trial: each.trial, family: each.family, state })),
  }));
  chart("timeline", {
    type: "bar", data: { labels, datasets },
    options: {
      indexAxis: "y",
      onClick: (event, found, drawn) => { if (found[0]) open(drawn.data.datasets[found[0].datasetIndex].data[found[0].index].trial); },
      scales: { x: { min: Math.min(...bars.map((each) => each.began), Infinity) || 0, title: { display: true, text: `time (${unit})` } }, y: { ticks: { autoSkip: true } } },
      plugins: { legend: { position: "bottom" }, tooltip: { callbacks: { title: (items) => `trial ${items[0].raw.trial}, ${items[0].raw.family}`, label: (item) => `${item.raw.state}, ${(item.raw.x[1] - item.raw.x[0]).toFixed(2)} ${unit}` } } },
    },
  }, bars.length);
  says("timeline", total ? `${bars.length < total ? `The latest ${bars.length} of ` : ""}${total} trials in the rows of ${workers} ${workers === 1 ? "worker" : "workers"}. The colour says how a trial ended.` : "No trial has begun yet.");
}

function drawKnobs() {
  const shares = knobs.knobs;
  chart("knobs", {
    type: "bar",
    data: { labels: shares.map((each) => each.knob), datasets: [{ label: "share", backgroundColor: FAMILY_COLOURS[0], data: shares.map((each) => 100 * each.share) }] },
    options: { indexAxis: "y", scales: { x: { title: { display: true, text: "share of the importance of all knobs (%)" } } }, plugins: { legend: { display: false } } },
  }, shares.length);
  document.getElementById("knobs-table").parentElement.hidden = !shares.length;
  document.getElementById("knobs-table").replaceChildren(table("Importance of knobs", ["Knob", "Share"], shares.map((each) => [each.knob, `${(100 * each.share).toFixed(1)} %`]), [1]));
  says("knobs", shares.length ? `By ${knobs.method}. It says what the best trials have in common, and nothing of causes.` : "Ten judged trials of a knob tell what it matters; there are fewer yet.");
}

function draw() {
  if (!data) return;
  curves(); costs(); best(); timeline();
  if (knobs) drawKnobs();
}

let asked = 0;
async function look() {
  if (performance.now() < asked) return;
  const began = performance.now();
  asked = Infinity;
  try {
    data = await json(place.dataset.charts);
    const text = JSON.stringify(data);
    if (text === told) return;
    told = text;
    draw();
    knobs = await json(place.dataset.knobs); // takes a while where there are thousands of trials
    drawKnobs();
  } finally {
    asked = performance.now() + Math.max(3000, 8 * (performance.now() - began));
  }
}

document.getElementById("cost").addEventListener("change", costs);
document.addEventListener("refreshed", () => look().catch(() => {}));
onTheme(draw);
look();
