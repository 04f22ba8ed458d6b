// Uploads a dataset and shows how far it has come; fetch cannot tell that, so this is an XMLHttpRequest.
import { reasons } from "./api.js";

const form = document.getElementById("upload"), meter = document.getElementById("upload-meter");
const progress = document.getElementById("upload-progress");
const says = (text) => { document.getElementById("upload-says").textContent = text; };
const wrong = (text) => { document.getElementById("upload-wrong").textContent = text; };

function ended(request) {
  form.querySelector("button").disabled = false;
  meter.hidden = true;
  if (request.status === 201) {
    location.assign("/datasets?said=uploaded");
    return;
  }
  let problem = {};
  try { problem = JSON.parse(request.responseText); } catch { /* no answer, or none of ours */ }
  says("");
  wrong(reasons(problem) || "The upload broke off.");
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const file = form.elements.file.files[0], request = new XMLHttpRequest();
  request.open("POST", `${form.getAttribute("action")}?name=${encodeURIComponent(form.elements.name.value)}`);
  request.setRequestHeader("X-CSRF-Token", document.querySelector("meta[name=csrf]")?.content || "");
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.setRequestHeader("Accept", "application/json");
  request.upload.addEventListener("progress", (sent) => {
    progress.value = sent.loaded / sent.total;
    says(sent.loaded < sent.total ? `${Math.floor((100 * sent.loaded) / sent.total)} % are sent.` : "All is sent; the images are unpacked and checked.");
  });
  request.addEventListener("loadend", () => ended(request));
  form.querySelector("button").disabled = true;
  meter.hidden = false;
  wrong("");
  says("The upload begins.");
  request.send(file);
});
