// Classifies a picture with model.onnx in this browser. model.json tells the classes, the channels, and which level was
// white in training.

import * as ort from "./ort.wasm.bundle.min.mjs";

const TOP = 5;
const FULL = 65535; // what is white in 16 bits unless the pictures of the training used fewer
const FEW = 16; // so few levels are told apart only if they are spread
const element = (id) => document.getElementById(id);
const [app, input, status, problem, result] = ["app", "picture", "status", "problem", "result"].map(element);

let session, about;
let latest = 0; // of several pictures the last one counts
let shown = "";

element("not-served").remove();
app.hidden = false;
input.addEventListener("change", () => take(input.files));
addEventListener("dragover", (event) => { event.preventDefault(); app.classList.add("dragging"); });
addEventListener("dragleave", (event) => event.relatedTarget || app.classList.remove("dragging"));
addEventListener("drop", (event) => {
  event.preventDefault();
  app.classList.remove("dragging");
  take(event.dataTransfer.files);
});
addEventListener("paste", (event) => event.clipboardData.files.length && take(event.clipboardData.files));

const loaded = load(); // a picture that comes earlier waits for it
loaded.catch((error) => fail(`The model could not be loaded: ${error.message}. Is every file of this page there?`));

async function load() {
  const answer = await fetch("model.json");
  if (!answer.ok) throw new Error(`model.json: ${answer.status}`);
  about = await answer.json();
  document.title = element("title").textContent = about.study;
  element("about").textContent =
    `${about.class_names.length} classes: ${about.class_names.join(", ")}. ` +
    "It looks at the square in the middle of a picture, and answers one of them whatever it is shown.";
  ort.env.wasm.numThreads = 1; // more need headers that a plain server does not send
  ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", import.meta.url).href };
  session = await ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] });
  status.textContent = "Ready.";
}

function take(files) {
  if (files.length) classify(files[0]).catch(() => {}); // that it could not be loaded is shown already
  else fail("That is no file. Drop a picture from this device, or choose one.");
}

async function classify(file) {
  const turn = ++latest;
  await loaded;
  if (turn !== latest) return;
  status.textContent = `Looking at ${file.name} …`;
  problem.hidden = true;
  let pixels;
  try {
    if (about.white < FULL && (await isDeep(file))) {
      if (turn === latest) {
        fail(`${file.name} has 16 bits a level, of which a browser reads 8. They are too few here, as level ` +
          `${about.white} is white. Choose a picture of 8 bits, or use predict.py of the export.`);
      }
      return;
    }
    pixels = await decode(file);
  } catch {
    if (turn === latest) fail(`${file.name} cannot be read as a picture. Choose a PNG, JPEG, WebP or BMP file.`);
    return;
  }
  try {
    const began = performance.now();
    const images = new ort.Tensor("uint8", pixels.data, [1, pixels.height, pixels.width, about.in_channels]);
    const { probabilities } = await session.run({ images });
    if (turn === latest) show(file, pixels, probabilities.data, performance.now() - began);
  } catch (error) {
    if (turn === latest) fail(`${file.name} could not be classified: ${error.message}`);
  }
}

// The picture as bytes (H, W, C), with its longer side at most about.max_side pixels. It is laid on white, or on black
// where nothing of it could be seen on white.
async function decode(file) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  const scale = Math.min(1, about.max_side / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const onWhite = draw(bitmap, width, height, "white");
  const onBlack = isBlank(onWhite) ? draw(bitmap, width, height, "black") : onWhite;
  const rgba = isBlank(onBlack) ? onWhite : onBlack;
  bitmap.close();
  const data = new Uint8Array(width * height * about.in_channels);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    if (about.in_channels === 1) data[to++] = grey(rgba[from], rgba[from + 1], rgba[from + 2]);
    else for (let channel = 0; channel < 3; channel++) data[to++] = rgba[from + channel];
  }
  spread(data);
  return { data, width, height };
}

// Whether it is a PNG file with 16 bits a level, as its header says. Browsers read no other files that have them.
async function isDeep(file) {
  const head = new Uint8Array(await file.slice(0, 25).arrayBuffer());
  return [0x89, 0x50, 0x4e, 0x47].every((byte, at) => head[at] === byte) && head[24] === 16;
}

// Where the pictures of the training had few levels, and this one has no others, its white is theirs instead of 255.
function spread(data) {
  if (about.white > FEW || data.some((level) => level > about.white)) return;
  for (let at = 0; at < data.length; at++) data[at] = Math.round((data[at] * 255) / about.white);
}

function draw(bitmap, width, height, background) {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = background;
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}

// Whether no channel has levels that differ by more than 8, which nobody sees.
function isBlank(rgba) {
  const low = [255, 255, 255], high = [0, 0, 0];
  for (let at = 0; at < rgba.length; at++) {
    const channel = at % 4;
    if (channel === 3) continue;
    if (rgba[at] < low[channel]) low[channel] = rgba[at];
    if (rgba[at] > high[channel]) high[channel] = rgba[at];
  }
  return high.every((level, channel) => level - low[channel] <= 8);
}

// As Pillow rounds ITU-R 601-2, which the pictures that it was trained with were made grey by.
function grey(red, green, blue) {
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

function show(file, pixels, probabilities, milliseconds) {
  URL.revokeObjectURL(shown);
  const preview = element("preview");
  preview.src = shown = URL.createObjectURL(file);
  preview.alt = file.name;
  preview.classList.toggle("small", Math.max(pixels.width, pixels.height) <= 128);
  const best = Array.from(probabilities, (share, index) => ({ share, name: about.class_names[index] }))
    .sort((one, other) => other.share - one.share)
    .slice(0, TOP);
  element("answer").textContent = best[0].name;
  element("top").replaceChildren(...best.map(row));
  result.hidden = false;
  status.textContent = `${file.name}: ${best[0].name}, ${percent(best[0].share)}, in ${milliseconds.toFixed(0)} ms.`;
}

function row({ name, share }) {
  const item = document.createElement("li");
  item.dataset.probability = share;
  const line = part(item, "line");
  part(line, "name").textContent = name;
  part(line, "share").textContent = percent(share);
  const track = part(item, "track");
  track.setAttribute("aria-hidden", "true");
  part(track, "bar").style.width = `${100 * share}%`;
  return item;
}

function part(parent, name) {
  const made = document.createElement("div");
  made.className = name;
  parent.append(made);
  return made;
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

function fail(text) {
  result.hidden = true;
  status.textContent = "";
  problem.textContent = text;
  problem.hidden = false;
}
