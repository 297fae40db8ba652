// The camera: a frame as soon as the one before has been answered.

const QUALITY = 0.9; // of the JPEG files
const LARGEST_SIDE = 640; // pixels

const end = (stream) => stream.getTracks().forEach((track) => track.stop());

export class Camera {
  constructor(video, { onFrame, onChange, onError }) {
    this.video = video;
    this.onFrame = onFrame;
    this.onChange = onChange;
    this.onError = onError;
    this.running = false;
    this.starts = 0; // counts starts and stops, so that what began before one of them ends
  }

  toggle() {
    this.running ? this.stop() : this.start();
  }

  async start() {
    const start = ++this.starts;
    this.onError("");
    if (!navigator.mediaDevices) {
      this.onError("Browsers allow the camera on localhost or with https only.");
      return;
    }
    let stream;
    try {
      const size = { width: { ideal: LARGEST_SIDE } };
      stream = await navigator.mediaDevices.getUserMedia({ video: size });
      if (start !== this.starts) return end(stream);
      this.video.srcObject = stream;
      await this.video.play();
      if (start !== this.starts) return end(stream);
    } catch (error) {
      if (stream) end(stream);
      if (start === this.starts) this.onError(`The camera cannot be used: ${error.message}.`);
      return;
    }
    stream.getVideoTracks()[0].addEventListener("ended", () => this.stop()); // unplugged
    this.running = true;
    this.onChange(true);
    while (start === this.starts) {
      const frame = await this.takeFrame();
      if (start !== this.starts) break;
      if (frame) await this.onFrame(frame);
      await new Promise(requestAnimationFrame);
    }
  }

  stop() {
    this.starts += 1; // also while the browser still asks for permission
    if (!this.running) return;
    this.running = false;
    end(this.video.srcObject);
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
