"use strict";
// Takes a picture, asks the server for a run, follows it, and shows before and after.

const $ = (id) => document.getElementById(id);
const HEADERS = { "X-MS-Restore": "1" };
const UNITS = { improve: "tile", restore: "iteration" };
const TASKS = {
  deblur: "Say how the picture is blurred; the closer the sliders come, the sharper the result.",
  super_resolve: "Enlarges a picture that was blurred like this and then reduced.",
  inpaint: "Paint on the picture over scratches, dust or text.",
  denoise: "Removes even noise, as of a camera in little light.",
  demosaic: "For the gray picture of a sensor's raw values, of which each has one colour.",
};
let models = [];
let picture = null; // what the server said of the upload
let run = null; // the id of the run that is followed
let painted = false;

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: HEADERS });
  } catch {
    throw new Error("no answer: is ms-restore demo still running?");
  }
  const answer = await response.json().catch(() => ({ problem: `the server answered ${response.status}` }));
  if (answer.problem && !response.ok) throw new Error(answer.problem);
  return answer;
}

const post = (path, body) => ask(path, { method: "POST", body: body && JSON.stringify(body) });

function complain(text) {
  $("problem").textContent = text || "";
  $("problem").hidden = !text;
}

async function attempt(action) {
  complain("");
  try {
    await action();
  } catch (error) {
    complain(error.message);
  }
}

// ---- the controls

const tab = () => ($("restore").hidden ? "improve" : "restore");
const model = () => models.find((one) => one.name === $("model").value);

function choose(name) {
  if (run !== null) return;
  for (const other of ["improve", "restore"]) {
    $(other).hidden = other !== name;
    $(`tab-${other}`).setAttribute("aria-selected", String(other === name));
    $(`tab-${other}`).tabIndex = other === name ? 0 : -1;
  }
  refresh();
}

function refresh() {
  const chosen = model();
  if (!chosen) return;
  const about = chosen.takes_raw ? `${chosen.about}. Takes raw files alone.` : `${chosen.about}.`;
  $("about-model").textContent = about[0].toUpperCase() + about.slice(1);
  $("model-noise").hidden = !chosen.told_noise;
  $("model-raw").hidden = !chosen.takes_raw;
  const task = $("task").value;
  $("about-task").textContent = TASKS[task];
  $("auto-text").textContent = task === "deblur" || task === "denoise" ? "Estimate the noise" : "Assume little noise";
  const blurred = task === "deblur" || task === "super_resolve";
  for (const part of document.querySelectorAll("[data-for]")) part.hidden = !part.dataset.for.split(" ").includes(task);
  for (const part of document.querySelectorAll("[data-shape]")) part.hidden = !blurred || part.dataset.shape !== $("shape").value;
  $("model-sigma").disabled = $("model-auto").checked;
  $("task-sigma").disabled = $("task-auto").checked;
  for (const range of document.querySelectorAll(".slider input[type=range]")) {
    const auto = range.disabled ? "automatic" : range.value + (range.dataset.unit || " of 255");
    range.parentElement.querySelector(`label[for=${range.id}] output`).textContent = auto;
  }
  const painting = tab() === "restore" && task === "inpaint";
  $("given").querySelector("canvas").hidden = !painting || !picture || picture.raw;
  $("run").disabled = !picture || run !== null;
}

function order() {
  if (tab() === "improve") {
    const chosen = model();
    const sigma = chosen.told_noise && !$("model-auto").checked ? Number($("model-sigma").value) : null;
    const ratio = chosen.takes_raw && $("ratio").value ? Number($("ratio").value) : null;
    return { model: chosen.name, sigma_255: sigma, ratio };
  }
  const numbers = Object.fromEntries(["length", "angle", "deviation", "radius", "scale"].map((id) => [id, Number($(id).value)]));
  const sigma = $("task-auto").checked ? null : Number($("task-sigma").value);
  return { task: $("task").value, shape: $("shape").value, pattern: $("pattern").value, ...numbers, sigma_255: sigma };
}

// ---- the picture

async function upload(file) {
  $("status").textContent = "reading the picture …";
  busy(true);
  try {
    await show(await ask(`pictures?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file }));
  } finally {
    busy(false);
    $("file").value = "";
  }
}

function wide(width) {
  $("shown").style.setProperty("--wide", `${Math.max(320, width * 2)}px`);
}

async function show(given) {
  picture = given;
  const image = $("given").querySelector("img");
  image.hidden = !given.preview;
  $("no-preview").hidden = Boolean(given.preview);
  if (given.preview) {
    image.src = `files/${given.preview}`;
    await image.decode().catch(() => {});
  } else {
    image.removeAttribute("src");
    $("no-preview").textContent = `${given.name}: a raw file, shown once it is developed by a model of raw files.`;
  }
  wide(given.width);
  const canvas = $("given").querySelector("canvas");
  canvas.width = given.width;
  canvas.height = given.height;
  painted = false;
  if (given.mask) await paintMask(given.mask);
  showGiven();
}

function showGiven() {
  $("drop").hidden = true;
  $("shown").hidden = false;
  $("given").hidden = false;
  $("compare").hidden = true;
  $("download").hidden = true;
  $("again").hidden = true;
  $("facts").textContent = `${picture.name}, ${picture.width}×${picture.height}`;
  refresh();
}

async function sample() {
  const made = await post(`samples/${tab()}`, order());
  await show(made);
  await start();
}

// ---- painting, for what is to be filled in

const brush = () => {
  const pen = $("given").querySelector("canvas").getContext("2d");
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = pen.fillStyle = "#e0115f";
  pen.lineWidth = Number($("brush").value);
  return pen;
};

async function paintMask(id) {
  const mask = new Image();
  mask.src = `files/${id}`;
  await mask.decode();
  const pen = brush();
  pen.drawImage(mask, 0, 0);
  const pixels = pen.getImageData(0, 0, mask.width, mask.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    pixels.data.set(pixels.data[i] > 127 ? [0, 0, 0, 0] : [224, 17, 95, 255], i);
  }
  pen.putImageData(pixels, 0, 0);
  painted = true;
}

async function uploadMask() {
  if (!painted) throw new Error("paint over what is to be filled in first");
  const drawn = $("given").querySelector("canvas");
  const mask = document.createElement("canvas");
  mask.width = drawn.width;
  mask.height = drawn.height;
  const pen = mask.getContext("2d");
  pen.drawImage(drawn, 0, 0);
  const pixels = pen.getImageData(0, 0, mask.width, mask.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const level = pixels.data[i + 3] ? 0 : 255; // white where the picture is known
    pixels.data.set([level, level, level, 255], i);
  }
  pen.putImageData(pixels, 0, 0);
  const blob = await new Promise((done) => mask.toBlob(done, "image/png"));
  return (await ask("pictures?name=mask.png", { method: "POST", body: blob })).id;
}

function preparePainting() {
  const canvas = $("given").querySelector("canvas");
  const at = (event) => {
    const place = canvas.getBoundingClientRect();
    const scale = canvas.width / place.width;
    return [(event.clientX - place.left) * scale, (event.clientY - place.top) * scale];
  };
  let last = null;
  const line = (event) => {
    const pen = brush();
    pen.beginPath();
    pen.moveTo(...last);
    last = at(event);
    pen.lineTo(...last);
    pen.stroke();
    painted = true;
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = at(event);
    line(event);
  });
  canvas.addEventListener("pointermove", (event) => last && line(event));
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (last = null));
  $("wipe").addEventListener("click", () => {
    canvas.width = canvas.width;
    painted = false;
  });
}

// ---- a run

function busy(is) {
  $("progress").hidden = !is;
  $("progress").querySelector("progress").removeAttribute("value");
  for (const id of ["sample", "another", "again"]) $(id).disabled = is;
  $("run").disabled = is || !picture;
}

async function start() {
  const kind = tab();
  const asked = { ...order(), picture: picture.id };
  busy(true);
  $("status").textContent = "starting …";
  try {
    if (asked.task === "inpaint") asked.mask = await uploadMask();
    const state = await post(`runs/${kind}`, asked);
    run = state.id;
    $("cancel").hidden = false;
    $("cancel").disabled = false;
    $("sample").hidden = true;
    await follow(state, UNITS[kind]);
  } finally {
    run = null;
    $("cancel").hidden = true;
    $("sample").hidden = false;
    busy(false);
    refresh();
  }
}

async function follow(state, unit) {
  let missed = 0;
  while (state.state === "waiting" || state.state === "running") {
    tell(state, unit);
    await new Promise((done) => setTimeout(done, 200));
    try {
      state = await ask(`runs/${run}`);
      missed = 0;
    } catch (error) {
      if (++missed > 10) throw error;
    }
  }
  if (state.state === "failed") throw new Error(state.problem);
  if (state.state === "done") await showResult(state.result);
  if (state.state === "cancelled") complain("Cancelled.");
}

function tell(state, unit) {
  const bar = $("progress").querySelector("progress");
  if (state.total > 1) {
    bar.max = state.total;
    bar.value = state.done;
  } else {
    bar.removeAttribute("value");
  }
  const stop = $("cancel").disabled ? "cancelling after this piece …" : "";
  const queue = `waiting: ${state.before} ${state.before === 1 ? "run comes" : "runs come"} before yours`;
  const pieces = state.total > 1 ? `${unit} ${Math.min(state.done + 1, state.total)} of ${state.total}` : "computing …";
  const phase = state.total ? pieces : "loading the model …";
  $("status").textContent = stop || (state.state === "waiting" ? queue : phase);
}

async function showResult(result) {
  const images = [...$("compare").querySelectorAll("img")];
  images[0].src = `files/${result.before}`;
  images[1].src = `files/${result.after}`;
  await Promise.all(images.map((image) => image.decode()));
  wide(result.shown[0]);
  $("given").hidden = true;
  $("compare").hidden = false;
  $("download").href = `files/${result.file}?download=1`;
  $("download").hidden = false;
  $("again").hidden = false;
  const was = picture.width === result.width ? "" : `${picture.width}×${picture.height} → `;
  const note = result.note ? `; ${result.note}` : "";
  $("facts").textContent =
    `${picture.name}: ${was}${result.width}×${result.height} pixels, ${result.seconds.toFixed(1)} s, engine ${result.engine}${note}`;
  at(50);
  $("stage").scrollIntoView({ block: "nearest" });
}

// ---- before and after

function at(value) {
  const range = $("compare").querySelector("input");
  range.value = value;
  $("compare").style.setProperty("--at", `${range.value}%`);
}

function prepareCompare() {
  const box = $("compare");
  const range = box.querySelector("input");
  const to = (event) => {
    const place = box.getBoundingClientRect();
    at((100 * (event.clientX - place.left)) / place.width);
  };
  range.addEventListener("input", () => at(range.value));
  box.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    box.setPointerCapture(event.pointerId);
    to(event);
    range.focus({ preventScroll: true });
  });
  box.addEventListener("pointermove", (event) => box.hasPointerCapture(event.pointerId) && to(event));
}

// ---- the start

function prepareDropping() {
  const stage = $("stage");
  const over = (is) => (event) => {
    event.preventDefault();
    stage.classList.toggle("over", is);
  };
  stage.addEventListener("dragover", over(true));
  stage.addEventListener("dragleave", over(false));
  for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());
  stage.addEventListener("drop", (event) => {
    over(false)(event);
    const file = event.dataTransfer.files[0];
    if (file && run === null) attempt(() => upload(file));
  });
  $("file").addEventListener("change", () => {
    if ($("file").files[0]) attempt(() => upload($("file").files[0]));
  });
  $("drop").addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") $("file").click();
  });
  $("another").addEventListener("click", () => $("file").click());
  $("again").addEventListener("click", showGiven);
}

async function begin() {
  const about = await ask("about");
  models = about.models;
  for (const one of models) $("model").add(new Option(`${one.does}: ${one.name}`, one.name));
  $("file").accept = ["image/*", ...about.suffixes].join(",");
  $("limit").textContent = `PNG, JPEG, TIFF, WebP and others, or a camera’s raw file; up to ${about.megapixels} megapixels. Or try a sample.`;
  $("version").textContent = `ms-restore ${about.version}`;
  refresh();
}

for (const name of ["improve", "restore"]) {
  $(`tab-${name}`).addEventListener("click", () => choose(name));
  $(`tab-${name}`).addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = name === "improve" ? "restore" : "improve";
    choose(other);
    $(`tab-${other}`).focus();
  });
}
$("controls").addEventListener("input", refresh);
$("task").addEventListener("input", () => picture && run === null && showGiven()); // for another result
$("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  if (picture && run === null) attempt(start);
});
$("sample").addEventListener("click", () => attempt(sample));
$("cancel").addEventListener("click", () => {
  $("cancel").disabled = true;
  if (run !== null) post(`runs/${run}/cancel`).catch((error) => complain(error.message));
});
prepareDropping();
preparePainting();
prepareCompare();
attempt(begin);
