// In the audio thread: turns the microphone's samples, at whatever rate they come, into blocks of 20 ms at 16 kHz.
//
// A windowed sinc keeps what is below 7 kHz. Without it, higher pitches would come back as wrong ones (aliasing).

const RATE = 16_000;
const BLOCK = 320;
const CUTOFF = 7_000;
/** Zero crossings on each side. */
const REACH = 12;

class MicrophoneBlocks extends AudioWorkletProcessor {
  /** Input samples for each output sample. */
  #step = sampleRate / RATE;
  /** The share of the input's band that passes. */
  #scale = Math.min(1, (2 * CUTOFF) / sampleRate);
  #half = Math.ceil(REACH / this.#scale);
  /** The newest input samples. */
  #input = new Float32Array(0);
  /** Where in `#input` the next output sample is. */
  #at = this.#half;
  #block = new Float32Array(BLOCK);
  #filled = 0;

  /** @param {Float32Array[][]} inputs */
  process([channels]) {
    if (channels?.length) this.#take(mixed(channels));
    return true;
  }

  /** @param {Float32Array} samples */
  #take(samples) {
    const all = new Float32Array(this.#input.length + samples.length);
    all.set(this.#input);
    all.set(samples, this.#input.length);
    while (this.#at + this.#half < all.length) {
      this.#block[this.#filled++] = this.#sample(all, this.#at);
      this.#at += this.#step;
      if (this.#filled === BLOCK) this.#send();
    }
    const keep = Math.max(0, Math.floor(this.#at) - this.#half);
    this.#input = all.slice(keep);
    this.#at -= keep;
  }

  #send() {
    this.port.postMessage(this.#block, [this.#block.buffer]);
    this.#block = new Float32Array(BLOCK);
    this.#filled = 0;
  }

  /**
   * @param {Float32Array} input
   * @param {number} at
   */
  #sample(input, at) {
    let sum = 0;
    const last = Math.floor(at) + this.#half;
    for (let n = Math.max(0, Math.ceil(at) - this.#half); n <= last; n++) {
      const x = (n - at) * this.#scale;
      const w = Math.PI * x;
      const sinc = Math.abs(x) < 1e-6 ? 1 : Math.sin(w) / w;
      const hann = 0.5 + 0.5 * Math.cos((Math.PI * (n - at)) / (this.#half + 1));
      sum += input[n] * sinc * hann;
    }
    return sum * this.#scale;
  }
}

/** @param {Float32Array[]} channels */
function mixed(channels) {
  if (channels.length === 1) return channels[0];
  return channels[0].map((_, i) => channels.reduce((sum, each) => sum + each[i], 0) / channels.length);
}

registerProcessor("microphone-blocks", MicrophoneBlocks);
