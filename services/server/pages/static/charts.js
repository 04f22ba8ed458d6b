// How charts look: colours that are told apart in light and dark, and one chart of Chart.js for each canvas.
export const FAMILY_COLOURS = [
  "#0f8b8d", "#e07a1f", "#7a5cc4", "#d1495b", "#4c9f38", "#2f7ed8", "#b0833b", "#c45ab3", "#6b8e23", "#5f7f95",
  "#e0a100", "#3aa6a0", "#9c4f2e", "#8a6fd1", "#c2185b", "#00838f", "#7d8c00", "#546fd1", "#ad5c8d", "#4f9a75",
];
export const STATES = {
  completed: { style: "circle", colour: "good" },
  stopped: { style: "crossRot", colour: "warn" },
  failed: { style: "triangle", colour: "bad" },
  running: { style: "circle", colour: "calm" },
};
const charts = new Map();
const dark = matchMedia("(prefers-color-scheme: dark)");

/** The colours of the page as they are now. */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  return { text: of("text"), soft: of("soft"), line: of("line"), card: of("card"), good: dark.matches ? "#4caf78" : "#2b8a57", warn: "#e0982a", bad: dark.matches ? "#e5685f" : "#c0392b", calm: "#4a90d9" };
}

/** Draw `config` on the canvas called `id`; without `some` data the canvas is not shown. */
export function chart(id, config, some) {
  const canvas = document.getElementById(id), { text, soft, line } = colours();
  canvas.parentElement.classList.toggle("none", !some);
  charts.get(id)?.destroy();
  charts.delete(id);
  if (!some) return;
  Chart.defaults.color = soft;
  Chart.defaults.borderColor = line;
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  const options = { animation: false, responsive: true, maintainAspectRatio: false, normalized: true, ...config.options };
  for (const scale of Object.values(options.scales || {})) if (scale.title) scale.title.color = text;
  charts.set(id, new Chart(canvas, { ...config, options }));
}

/** Call `draw` whenever light becomes dark or the other way round. */
export function onTheme(draw) {
  dark.addEventListener("change", draw);
}

/** Ticks of a logarithmic axis, few enough to be read: 1, 2, 3 and 5 times a power of ten, as `text` writes them. */
export function logarithmic(text) {
  const named = (value) => ["1", "2", "3", "5"].includes(value.toExponential(3).replace(/[.0]*e.*/, ""));
  return { maxRotation: 0, callback: (value) => (named(value) ? text(value) : "") };
}
