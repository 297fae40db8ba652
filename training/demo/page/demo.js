// The page of the demo: sends one image to every model, and shows what they answer.

import { drawMap } from "./map.js";
import { Camera } from "./camera.js";

const find = (selector, parent = document) => parent.querySelector(selector);
const show = (element, visible) => (element.hidden = !visible);
const PATCHWISE = ["patches", "pixels-in-patches", "both"];

let image = null; // a Blob
let round = 0; // counts what the user asked for, so that answers to earlier requests are dropped
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
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

// One model: its description, and the part of the page that shows it.
class Column {
  constructor(number, description) {
    this.number = number;
    this.description = description;
    this.element = find("#model").content.firstElementChild.cloneNode(true);
    this.chosenClass = null; // that the user wants to be explained
    const { title, parameters, height, width, channels, classes } = description;
    const colors = channels === 1 ? "gray" : "RGB";
    this.find("h2").textContent = title;
    this.find(".facts").textContent =
      `${parameters.toLocaleString("en")} parameters, ${classes.toLocaleString("en")} classes, ` +
      `${height} × ${width} ${colors}`;
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
      return false;
    } finally {
      if (current === round) this.element.classList.remove("busy");
    }
  }

  async predict(current) {
    const path = `api/models/${this.number}/predict?${this.query()}`;
    const answer = await request(path, { method: "POST", body: image });
    if (current !== round) return;
    const picture = this.find(".seen img");
    picture.src = answer.image;
    picture.classList.toggle("small", this.description.width < 160);
    show(picture, true);
    show(this.find(".seen canvas"), false);
    this.find(".time").textContent = `${answer.milliseconds.toLocaleString("en")} ms`;
    const patchwise = PATCHWISE.includes(find("#shuffle").value);
    this.list(".plain", patchwise ? "weights as they were trained" : "", answer.classes);
    this.list(".reordered", "weights in the order of the shuffle", answer.reordered);
    this.note(patchwise && !answer.reordered ? "No order of its weights undoes the shuffle." : "");
  }

  list(selector, heading, classes) {
    const part = this.find(selector);
    show(part, Boolean(classes));
    if (!classes) return;
    find("h3", part).textContent = heading;
    show(find("h3", part), heading !== "");
    const items = classes.map((entry) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      const [name, value] = [document.createElement("span"), document.createElement("span")];
      name.textContent = name.title = entry.name;
      value.textContent = `${(100 * entry.probability).toFixed(1)} %`;
      button.style.setProperty("--share", `${100 * entry.probability}%`);
      button.dataset.index = entry.index;
      button.dataset.probability = entry.probability;
      button.disabled = !this.description.methods.includes(find("#method").value);
      button.append(name, value);
      button.addEventListener("click", () => this.choose(entry.index));
      item.append(button);
      return item;
    });
    find("ol", part).replaceChildren(...items);
  }

  choose(index) {
    this.chosenClass = index;
    update();
  }

  async explain(current) {
    const method = find("#method").value;
    if (!method || current !== round) return;
    if (!this.description.methods.includes(method)) {
      this.note("This method explains Mixers only, whose patches are those of the image.");
      return;
    }
    const parameters = this.chosenClass === null ? {} : { class: this.chosenClass };
    const path = `api/models/${this.number}/explain?${this.query({ method, ...parameters })}`;
    const answer = await request(path, { method: "POST", body: image });
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

function complain(text) {
  find("#error").textContent = text;
  show(find("#error"), text !== "");
}

// Send the image to all models; resolves to whether each of them could use it.
function update({ keepClasses = true } = {}) {
  if (!image) return Promise.resolve([]);
  if (!keepClasses) columns.forEach((column) => (column.chosenClass = null));
  const current = ++round;
  return Promise.all(columns.map((column) => column.update(current)));
}

function use(file) {
  complain("");
  if (file.size > limits.largest_bytes) {
    const most = (limits.largest_bytes / 1e6).toLocaleString("en");
    complain(`The file has ${(file.size / 1e6).toFixed(1)} MB, and may have ${most}.`);
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
    show(find("#hint"), !running && !image);
    show(find("#preview"), false);
    if (!running && image) preview();
  },
  onError: complain,
});

function listen() {
  find("#preview").addEventListener("load", () => show(find("#preview"), !camera.running));
  // The browser need not be able to show what the models can read; their answers say more.
  find("#preview").addEventListener("error", () => show(find("#preview"), false));
  find("#file").addEventListener("change", (event) => {
    if (event.target.files.length) use(event.target.files[0]);
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
    file ? use(file) : complain("Drop an image file; links to images are not followed.");
  });
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData.files;
    if (file) use(file);
  });
}

try {
  const description = await request("api/models");
  limits = description;
  columns = description.models.map((model, number) => new Column(number, model));
  listen();
  document.body.dataset.ready = "true";
} catch (error) {
  complain(error.message);
}
