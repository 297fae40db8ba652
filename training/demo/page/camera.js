// The camera: a frame as soon as the one before has been answered.

const QUALITY = 0.9; // of the JPEG files
const LARGEST_SIDE = 640; // pixels

export class Camera {
  constructor(video, { onFrame, onChange, onError }) {
    this.video = video;
    this.onFrame = onFrame;
    this.onChange = onChange;
    this.onError = onError;
    this.running = false;
  }

  toggle() {
    this.running ? this.stop() : this.start();
  }

  async start() {
    this.onError("");
    if (!navigator.mediaDevices) {
      this.onError("Browsers allow the camera on localhost or with https only.");
      return;
    }
    try {
      const size = { width: { ideal: LARGEST_SIDE } };
      this.video.srcObject = await navigator.mediaDevices.getUserMedia({ video: size });
      await this.video.play();
    } catch (error) {
      this.onError(`The camera cannot be used: ${error.message}.`);
      return;
    }
    this.running = true;
    this.video.hidden = false;
    this.onChange(true);
    while (this.running) {
      await this.onFrame(await this.takeFrame());
      await new Promise(requestAnimationFrame);
    }
  }

  stop() {
    if (!this.running) return;
    this.running = false;
    this.video.hidden = true;
    this.video.srcObject.getTracks().forEach((track) => track.stop());
    this.onChange(false);
  }

  takeFrame() {
    const { videoWidth, videoHeight } = this.video;
    const canvas = document.createElement("canvas");
    const scale = Math.min(1, LARGEST_SIDE / Math.max(videoWidth, videoHeight));
    canvas.width = Math.round(videoWidth * scale);
    canvas.height = Math.round(videoHeight * scale);
    canvas.getContext("2d").drawImage(this.video, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
  }
}
