// Decoder of image files: the browser's own, without its changes to colors.

/**
 * Return the upright pixels of an image file: {data, height, width}, RGBA of 8 bits.
 *
 * @param {Blob} file The promise is rejected if the browser cannot decode it.
 */
export async function decode(file) {
  const unchanged = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(file, unchanged);
  try {
    const image = readCanvas(bitmap);
    return isOpaque(image) ? image : (readTexture(bitmap) ?? image);
  } finally {
    bitmap.close();
  }
}

function readCanvas(bitmap) {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, width, height);
}

function isOpaque({ data }) {
  for (let i = 3; i < data.length; i += 4) if (data[i] < 255) return false;
  return true;
}

// A canvas multiplies colors by their alpha, so those of transparent pixels are lost. A texture
// keeps them. Where there is no WebGL, or the image is too large for it, this returns undefined.
function readTexture(bitmap) {
  const { width, height } = bitmap;
  const gl = new OffscreenCanvas(1, 1).getContext("webgl");
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return undefined;
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  const target = [gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D];
  gl.framebufferTexture2D(...target, gl.getParameter(gl.TEXTURE_BINDING_2D), 0);
  const data = new Uint8Array(4 * width * height);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
  const failed = gl.getError() || gl.isContextLost(); // such as without memory
  gl.getExtension("WEBGL_lose_context")?.loseContext(); // frees the memory now
  if (failed) return undefined;
  return { data, width, height };
}
