// The page: load the model, and classify each image that is chosen or dropped.

import { decode } from "./decode.js";
import { prepare } from "./transform.js";

const RUNTIME = "./node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs";
const INSTALL = "npm install --prefix examples/browser";
const EXPORT = "python3 run.py export runs/digits --to onnx --output-dir examples/browser/model";
const METADATA_VERSION = 1;
const MOST_CLASSES = 5;

const [status, drop, file, result, picture, classes] = [
  "status",
  "drop",
  "file",
  "result",
  "picture",
  "classes",
].map((id) => document.getElementById(id));

/** An error whose message is for the reader of the page, with the command to run. */
class Problem extends Error {
  constructor(message, command = "") {
    super(message);
    this.command = command;
  }
}

try {
  const model = await loadModel();
  say(`${model.metadata.model || "The model"} is ready.`);
  listen(model);
} catch (error) {
  sayError(error);
}

/** Return {ort, session, metadata}. */
async function loadModel() {
  say("Loading the model …");
  const ort = await import(RUNTIME).catch((error) => {
    throw new Problem(`onnxruntime-web cannot be loaded: ${error.message}. Run`, INSTALL);
  });
  const metadata = await (await download("model/model.json")).json();
  if (metadata.metadata_version !== METADATA_VERSION) {
    throw new Problem(
      `model.json must have metadata version ${METADATA_VERSION}. Received: ` +
        `${metadata.metadata_version}. Export the model again, such as`,
      EXPORT,
    );
  }
  const file = await (await download("model/model.onnx")).arrayBuffer();
  ort.env.wasm.numThreads = 1; // more need a server that isolates the page
  const session = await ort.InferenceSession.create(file);
  return { ort, session, metadata };
}

async function download(path) {
  // Not from the cache: another model may be there since.
  const response = await fetch(path, { cache: "no-cache" }).catch((error) => {
    throw new Problem(`${path} cannot be loaded: ${error.message}. Start the server again.`);
  });
  if (!response.ok) {
    throw new Problem(`${path} is missing (HTTP status ${response.status}). Run`, EXPORT);
  }
  return response;
}

function listen(model) {
  let last = Promise.resolve(); // images are classified one after the other
  const enqueue = ([image]) => {
    if (image) last = last.then(() => classify(model, image)).then(show).catch(sayError);
  };
  file.addEventListener("change", () => {
    enqueue(file.files);
    file.value = ""; // so that the same file can be chosen again
  });
  for (const type of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(type, (event) => {
      event.preventDefault(); // or the browser opens the file
      drop.classList.toggle("over", type === "dragover");
      if (type === "drop") enqueue(event.dataTransfer.files);
    });
  }
  drop.hidden = false;
}

/** Return {name, names, input, logits, probabilities, milliseconds} of an image file. */
async function classify({ ort, session, metadata }, image) {
  say(`Classifying ${image.name} …`);
  const decoded = await decode(image).catch((error) => {
    throw new Problem(
      `${image.name} is not an image that this browser can decode (${error.message}). ` +
        "Choose a PNG or JPEG file.",
    );
  });
  const input = prepare(decoded, metadata.evaluation_transform.steps);
  const { data, height, width, channels } = input;
  const pixels = new ort.Tensor("float32", data, [1, height, width, channels]);
  const start = performance.now();
  const { logits, probabilities } = await session.run({ pixels });
  return {
    name: image.name,
    names: metadata.class_names,
    input,
    logits: logits.data,
    probabilities: probabilities.data,
    milliseconds: performance.now() - start,
  };
}

function show(answer) {
  window.lastAnswer = answer; // for the console, and for the tests
  draw(answer.input);
  const order = Array.from(answer.probabilities.keys());
  order.sort((a, b) => answer.probabilities[b] - answer.probabilities[a]);
  classes.replaceChildren(...order.slice(0, MOST_CLASSES).map((i) => row(answer, i)));
  result.hidden = false;
  say(`${answer.name}: ${answer.milliseconds.toFixed(1)} ms`);
}

function row({ names, probabilities }, i) {
  const meter = document.createElement("meter");
  meter.value = probabilities[i];
  const line = document.createElement("tr");
  for (const [tag, content] of [
    ["th", names ? names[i] : `class ${i}`],
    ["td", meter],
    ["td", `${(100 * probabilities[i]).toFixed(1)} %`],
  ]) {
    line.appendChild(document.createElement(tag)).append(content); // text, never HTML
  }
  return line;
}

/** Draw the input of the model. */
function draw({ data, height, width, channels }) {
  Object.assign(picture, { height, width });
  const pixels = new ImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let k = 0; k < 3; k++) pixels.data[4 * i + k] = data[i * channels + (k % channels)];
    pixels.data[4 * i + 3] = 255;
  }
  picture.getContext("2d").putImageData(pixels, 0, 0);
}

function say(text, command = "") {
  status.textContent = text;
  if (command) {
    const code = document.createElement("code");
    code.textContent = command;
    status.append(" ", code);
  }
}

function sayError(error) {
  result.hidden = true;
  say(error.message, error.command);
  if (!(error instanceof Problem)) reportError(error); // a bug: the console shows where
}
