// The page of the demo: sends one image to every model, and shows what they answer.

import { drawMap } from "./map.js";
import { Camera } from "./camera.js";

const find = (selector, parent = document) => parent.querySelector(selector);
const show = (element, visible) => (element.hidden = !visible);
const PATCHWISE = ["patches", "pixels-in-patches", "both"];

let image = null; // a Blob
let round = 0; // counts what the user asked for, so that answers to earlier requests are dropped
let pending = new AbortController(); // of the requests of the round
let seed = 1;
let limits;
let columns = [];

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The demo does not answer. Start it again, and reload this page.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Error(answer.error ?? `The demo answered with HTTP status ${response.status}.`);
  }
  return answer;
}

const send = (path) => request(path, { method: "POST", body: image, signal: pending.signal });

// One model: its description, and the part of the page that shows it.
class Column {
  constructor(number, description) {
    this.number = number;
    this.description = description;
    this.element = find("#model").content.firstElementChild.cloneNode(true);
    this.chosenClass = null; // that the user wants to be explained
    const { title, parameters, height, width, channels, classes, transform } = description;
    const colors = channels === 1 ? "gray" : "RGB";
    this.find("h2").textContent = title;
    this.find(".facts").textContent =
      `${parameters.toLocaleString("en")} parameters, ${classes.toLocaleString("en")} classes, ` +
      `${height} × ${width} ${colors}, ${transform}`;
    this.find(".results").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.choose(Number(button.dataset.index));
    });
    find("#models").append(this.element);
  }

  find(selector) {
    return find(selector, this.element);
  }

  query(parameters = {}) {
    return new URLSearchParams({ shuffle: find("#shuffle").value, seed, ...parameters });
  }

  // Predict and explain; resolves to whether both worked.
  async update(current) {
    this.element.classList.add("busy");
    try {
      await this.predict(current);
      await this.explain(current);
      if (current === round) show(this.find(".error"), false);
      return true;
    } catch (error) {
      if (current !== round) return true; // to an earlier request
      this.find(".error").textContent = error.message;
      show(this.find(".error"), true);
      const ofAnotherImage = ".seen img, .seen canvas, .result, .note";
      this.element.querySelectorAll(ofAnotherImage).forEach((element) => show(element, false));
      this.find(".time").textContent = "";
      return false;
    } finally {
      if (current === round) this.element.classList.remove("busy");
    }
  }

  async predict(current) {
    const answer = await send(`api/models/${this.number}/predict?${this.query()}`);
    if (current !== round) return;
    const picture = this.find(".seen img");
    picture.src = answer.image;
    picture.classList.toggle("small", this.description.width < 160);
    show(picture, true);
    show(this.find(".seen canvas"), false);
    this.find(".time").textContent = `${answer.milliseconds.toLocaleString("en")} ms`;
    const shuffle = find("#shuffle").value;
    const patchwise = PATCHWISE.includes(shuffle);
    this.list(".plain", patchwise ? "weights as they were trained" : "", answer.classes);
    this.list(".reordered", "weights in the order of the shuffle", answer.reordered);
    let note = "";
    if (shuffle === "all-pixels") note = "No order of the weights undoes this shuffle.";
    if (patchwise && !answer.reordered) note = "Only the weights of a plain Mixer are reordered.";
    this.note(note);
  }

  list(selector, heading, classes) {
    const part = this.find(selector);
    show(part, Boolean(classes));
    if (!classes) return;
    find("h3", part).textContent = heading;
    show(find("h3", part), heading !== "");
    // The same buttons for all images: those of a camera come faster than a click ends.
    const items = find("ol", part).children;
    while (items.length < classes.length) {
      find("ol", part).append(find("#class").content.firstElementChild.cloneNode(true));
    }
    classes.forEach(({ name, index, probability }, i) => {
      const button = find("button", items[i]);
      const [left, right] = button.children;
      left.textContent = left.title = name;
      right.textContent = `${(100 * probability).toFixed(1)} %`;
      button.style.setProperty("--share", `${100 * probability}%`);
      button.dataset.index = index;
      button.dataset.probability = probability;
      button.disabled = !this.description.methods.includes(find("#method").value);
      button.removeAttribute("aria-pressed");
    });
  }

  choose(index) {
    this.chosenClass = index;
    update();
  }

  async explain(current) {
    const method = find("#method").value;
    if (!method || current !== round) return;
    if (!this.description.methods.includes(method)) {
      this.note("This method needs a Mixer whose patches are those of the image.");
      return;
    }
    const parameters = this.chosenClass === null ? {} : { class: this.chosenClass };
    const query = this.query({ method, ...parameters });
    const answer = await send(`api/models/${this.number}/explain?${query}`);
    if (current !== round) return;
    drawMap(this.find(".seen canvas"), answer.map, answer.peak);
    show(this.find(".seen canvas"), true);
    for (const button of this.element.querySelectorAll("li button")) {
      const explained = Number(button.dataset.index) === answer.class_index;
      button.setAttribute("aria-pressed", explained);
    }
    this.note(`Red is evidence for ${answer.class}, blue against it. Click another class.`);
  }

  note(text) {
    this.find(".note").textContent = text;
    show(this.find(".note"), text !== "");
  }
}

function showError(text) {
  find("#error").textContent = text;
  show(find("#error"), text !== "");
}

// Send the image to all models; resolves to whether each of them could use it.
function update({ keepClasses = true } = {}) {
  if (!image) return Promise.resolve([]);
  if (!keepClasses) columns.forEach((column) => (column.chosenClass = null));
  const current = ++round;
  pending.abort();
  pending = new AbortController();
  return Promise.all(columns.map((column) => column.update(current)));
}

function chooseImage(file) {
  showError("");
  if (file.size > limits.largest_bytes) {
    const [bytes, most] = [file.size, limits.largest_bytes].map((n) => n.toLocaleString("en"));
    showError(`The file has ${bytes} bytes; at most ${most} are accepted. Choose a smaller one.`);
    return;
  }
  camera.stop();
  image = file;
  preview();
  update({ keepClasses: false });
}

function preview() {
  const picture = find("#preview");
  URL.revokeObjectURL(picture.src);
  picture.src = URL.createObjectURL(image);
  show(find("#hint"), false);
}

const camera = new Camera(find("#video"), {
  async onFrame(frame) {
    image = frame;
    if (!(await update()).some(Boolean)) camera.stop(); // the next frame would fail, too
  },
  onChange(running) {
    find("#camera").textContent = running ? "Stop the camera" : "Use the camera";
    show(find("#video"), running);
    show(find("#hint"), !running && !image);
    show(find("#preview"), false);
    if (!running && image) preview();
  },
  onError: showError,
});

function listen() {
  find("#preview").addEventListener("load", () => show(find("#preview"), !camera.running));
  // The browser need not be able to show what the models can read; their answers say more.
  find("#preview").addEventListener("error", () => show(find("#preview"), false));
  find("#file").addEventListener("change", (event) => {
    if (event.target.files.length) chooseImage(event.target.files[0]);
    event.target.value = ""; // so that the same file can be chosen again
  });
  find("#camera").addEventListener("click", () => camera.toggle());
  find("#shuffle").addEventListener("change", (event) => {
    find("#again").disabled = event.target.value === "none";
    update();
  });
  find("#again").addEventListener("click", () => {
    seed += 1;
    update();
  });
  find("#method").addEventListener("change", () => update());
  const drop = find("#drop");
  // Anywhere on the page, so that a file that misses the box does not replace the page.
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const [file] = event.dataTransfer.files;
    file ? chooseImage(file) : showError("Drop an image file; links are not followed.");
  });
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData.files;
    if (file) chooseImage(file);
  });
}

try {
  const description = await request("api/models");
  limits = description;
  columns = description.models.map((model, number) => new Column(number, model));
  listen();
  document.body.dataset.ready = "true";
} catch (error) {
  showError(error.message);
}
