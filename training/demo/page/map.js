// The map of the patches over an image.

const RED = [214, 39, 40];
const BLUE = [31, 99, 201];
const MOST_OPAQUE = 200; // of 255
const PATCH = 8; // pixels of the canvas, which is scaled to the size of the image

// Draw a map of evidence, rows of numbers, on a canvas; a frame marks the largest.
export function drawMap(canvas, map, [row, column]) {
  const largest = Math.max(...map.flat().map(Math.abs)) || 1;
  canvas.width = PATCH * map[0].length;
  canvas.height = PATCH * map.length;
  const context = canvas.getContext("2d");
  map.forEach((values, i) =>
    values.forEach((value, j) => {
      const [r, g, b] = value > 0 ? RED : BLUE;
      const alpha = (MOST_OPAQUE / 255) * (Math.abs(value) / largest);
      context.fillStyle = `rgba(${r}, ${g}, ${b}, ${alpha})`;
      context.fillRect(j * PATCH, i * PATCH, PATCH, PATCH);
    }),
  );
  context.strokeStyle = "white";
  context.strokeRect(column * PATCH + 0.5, row * PATCH + 0.5, PATCH - 1, PATCH - 1);
}
