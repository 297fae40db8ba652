// The evaluation transform of an exported model: from the pixels of an image to the model's input.
//
// It follows the steps in the metadata of `export`, in the arithmetic of TensorFlow and of Pillow,
// so it returns the pixels on which the model was evaluated. keras_mixer/resizing.py explains the
// filters, and has the same arithmetic in NumPy.

const f32 = Math.fround;
const clip = (x, low, high) => Math.min(Math.max(x, low), high);

/**
 * Return the model's input: {data, height, width, channels}, with values from 0 to 255.
 *
 * @param {{data: Uint8ClampedArray, height: number, width: number}} image RGBA, as ImageData.
 * @param {object[]} steps evaluation_transform.steps of the metadata.
 */
export function prepare(image, steps) {
  const [decode, resize, crop] = ["decode", "resize", "center_crop"].map((name) =>
    steps.find(({ step }) => step === name),
  );
  const old = [image.height, image.width];
  const size = resizedSize(old, resize);
  const goal = crop ? [crop.height, crop.width] : size;
  const start = size.map((n, axis) => margin(n - goal[axis], resize));

  const filter = FILTERS[resize.method + (resize.antialias ? " antialias" : "")];
  if (!filter) throw new Error(`transform.js does not know the resize method ${resize.method}`);
  let result = toChannels(image, decode.channels);
  for (const axis of [1, 0]) { // columns first, as in both libraries
    const taps = Array.from({ length: goal[axis] }, (_, i) =>
      filter.taps(old[axis], size[axis], start[axis] + i),
    );
    result = resizeAxis(result, axis, taps, filter.apply);
  }
  if (filter.finish) {
    const cell = f32(f32(f32(old[0]) / f32(size[0])) * f32(f32(old[1]) / f32(size[1])));
    result.data = result.data.map((value) => filter.finish(value, cell));
  }
  return result;
}

function toChannels({ data, height, width }, channels) {
  const result = new Uint8Array(height * width * channels);
  for (let from = 0, to = 0; to < result.length; from += 4, to += channels) {
    const [red, green, blue] = [data[from], data[from + 1], data[from + 2]];
    if (channels === 1) {
      result[to] = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16;
    } else {
      result[to] = red;
      result[to + 1] = green;
      result[to + 2] = blue;
    }
  }
  return { data: result, height, width, channels };
}

// Transforms with Pillow's filters are timm's, the others the authors' own. Both round sizes and
// margins in their own way, which the metadata has in words only.

function resizedSize([height, width], step) {
  const goal = [step.height, step.width];
  if (!step.keep_aspect_ratio) return goal;
  if (step.antialias) {
    const [other, across] = [(height * goal[1]) / width, (width * goal[0]) / height];
    return [Math.max(goal[0], Math.floor(other)), Math.max(goal[1], Math.floor(across))];
  }
  const factor = Math.max(f32(goal[0] / height), f32(goal[1] / width));
  return [roundHalfToEven(f32(height * factor)), roundHalfToEven(f32(width * factor))];
}

function margin(pixels, step) {
  return step.antialias ? roundHalfToEven(pixels / 2) : Math.floor(pixels / 2);
}

function roundHalfToEven(x) {
  const rounded = Math.round(x); // rounds halves up
  return rounded - x === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}

/** Resize along one axis; output pixel i is `apply(data, from, stride, taps[i])`. */
function resizeAxis({ data, height, width, channels }, axis, taps, apply) {
  const [rows, columns] = axis ? [height, taps.length] : [taps.length, width];
  const stride = axis ? channels : width * channels;
  const result = new Float32Array(rows * columns * channels);
  let to = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const from = axis ? row * width * channels : column * channels;
      const tap = taps[axis ? column : row];
      for (let channel = 0; channel < channels; channel++) {
        result[to++] = apply(data, from + channel, stride, tap);
      }
    }
  }
  return { data: result, height: rows, width: columns, channels };
}

// A filter has `taps(old, new, i)`, the input pixels of output pixel i and their weights: `at` and
// `weights`. `apply` sums them, and `finish` makes an integer of the sum over both axes.
// TensorFlow rounds each operation to float32.

const FILTERS = {
  area: {
    taps: areaTaps,
    apply(data, from, stride, { at, weights }) {
      let sum = 0;
      for (let k = 0; k < at.length; k++) {
        sum = f32(sum + f32(data[from + at[k] * stride] * weights[k]));
      }
      return sum;
    },
    finish: (sum, cell) => Math.min(Math.floor(f32(sum * f32(1 / cell))), 255),
  },
  bilinear: {
    taps: bilinearTaps,
    apply(data, from, stride, { at, weights }) {
      const near = data[from + at[0] * stride];
      return f32(near + f32(f32(data[from + at[1] * stride] - near) * weights[1]));
    },
    finish: roundHalfToEven,
  },
  "bilinear antialias": {
    taps: (...sizes) => pillowTaps(...sizes, 1, triangle),
    apply: applyLikePillow,
  },
  "bicubic antialias": {
    taps: (...sizes) => pillowTaps(...sizes, 2, cubic),
    apply: applyLikePillow,
  },
};

function areaTaps(oldSize, newSize, i) {
  const scale = f32(oldSize / newSize);
  const [left, right] = [f32(i * scale), f32((i + 1) * scale)];
  const [at, weights] = [[], []];
  for (let j = Math.floor(left); j < Math.ceil(right); j++) {
    const isWithin = j < left && j + 1 > right; // the output pixel lies in this input pixel
    at.push(Math.min(j, oldSize - 1));
    weights.push(isWithin ? scale : f32(Math.min(j + 1, right) - Math.max(j, left)));
  }
  return { at, weights };
}

function bilinearTaps(oldSize, newSize, i) {
  const center = f32(f32((i + 0.5) * f32(oldSize / newSize)) - 0.5);
  const first = Math.floor(center);
  return {
    at: [first, first + 1].map((j) => clip(j, 0, oldSize - 1)),
    weights: [first, first + 1].map((j) => f32(1 - f32(Math.abs(f32(j - center))))),
  };
}

// Pillow computes in integers: weights in units of 2⁻²², and 8 bits after each axis.
const UNIT = 2 ** 22;

function pillowTaps(oldSize, newSize, i, radius, f) {
  const scale = oldSize / newSize;
  const [center, widening] = [(i + 0.5) * scale, Math.max(scale, 1)];
  const first = Math.max(Math.floor(center - radius * widening + 0.5), 0);
  const last = Math.min(Math.floor(center + radius * widening + 0.5), oldSize);
  const at = Array.from({ length: last - first }, (_, k) => first + k);
  const weights = at.map((j) => f((j + 0.5 - center) / widening));
  const sum = weights.reduce((a, b) => a + b);
  const toInteger = (x) => Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
  return { at, weights: weights.map((weight) => toInteger((weight / sum) * UNIT)) };
}

function applyLikePillow(data, from, stride, { at, weights }) {
  let sum = 0;
  for (let k = 0; k < at.length; k++) sum += data[from + at[k] * stride] * weights[k];
  return clip(Math.floor(sum / UNIT + 0.5), 0, 255);
}

const triangle = (x) => Math.max(1 - Math.abs(x), 0);

function cubic(x) {
  x = Math.abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((2.5 - 0.5 * x) * x - 4) * x + 2 : 0;
}
