// The microphone of this device, as frames of a talk session: Opus where the browser encodes it, otherwise µ-law.
//
// Opus (24 kbit/s, constant, so that lengths tell nothing) comes from WebCodecs. Browsers without its AudioEncoder send
// µ-law at 16 kHz: 128 kbit/s, which each of them can compute.
import { PageError } from "../errors.js";
import { KIND } from "../wire/talk.js";

/** @import { TalkFrame } from "../types.js" */

const RATE = 16_000;
const BLOCK_US = 20_000;
const BLOCK = (RATE * BLOCK_US) / 1e6;
const STARTS_MS = 5000;
const MOST_FILE_BYTES = 4 * 1024 * 1024;
const OPUS = {
  codec: "opus",
  sampleRate: RATE,
  numberOfChannels: 1,
  bitrate: 24_000,
  bitrateMode: /** @type {const} */ ("constant"),
  opus: { frameDuration: BLOCK_US, application: "voip", signal: "voice" },
};

/**
 * Opens the microphone. Frames go to `take` until `stop`. Throws PageError with the reason in words.
 *
 * @param {(frame: TalkFrame) => void} take
 * @param {() => void} lost the microphone was unplugged or taken away
 */
export async function openMicrophone(take, lost) {
  const stream = await askForMicrophone();
  /** @type {AudioContext | undefined} */
  let context;
  /** @type {Awaited<ReturnType<typeof encoder>> | undefined} */
  let encode;
  const close = () => {
    for (const track of stream.getTracks()) track.stop();
    encode?.close();
    void context?.close();
  };
  try {
    context = new AudioContext();
    // With the page's version, so that the service worker may answer from its cache at once.
    await context.audioWorklet.addModule(`/static/microphone.js${new URL(import.meta.url).search}`);
    const made = await encoder(take, lost);
    encode = made;
    const blocks = new AudioWorkletNode(context, "microphone-blocks", { numberOfOutputs: 0 });
    const source = context.createMediaStreamSource(stream);
    let isOpen = false;
    blocks.port.onmessage = ({ data }) => isOpen && made.block(data);
    stream.getAudioTracks()[0].onended = lost;
    source.connect(blocks);
    await started(context);
    return {
      codec: made.codec,
      start() {
        isOpen = true;
      },
      /** Ends an utterance: what is in the encoder comes out, then nothing. */
      async pause() {
        isOpen = false;
        await made.flush();
      },
      stop() {
        isOpen = false;
        close();
      },
    };
  } catch (error) {
    close();
    throw error instanceof PageError ? error : new PageError("talk.microphone-failed", { what: String(error) });
  }
}

/**
 * Without a device for sound, Firefox waits for ever in silence.
 *
 * @param {AudioContext} context
 */
async function started(context) {
  const isLate = new Promise((resolve) => setTimeout(() => resolve(true), STARTS_MS));
  if (await Promise.race([context.resume(), isLate]))
    throw new PageError("talk.microphone-failed", { what: "AudioContext" });
}

async function askForMicrophone() {
  const devices = navigator.mediaDevices;
  if (!devices?.getUserMedia || !globalThis.AudioWorkletNode) throw new PageError("talk.old-browser");
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
  try {
    return await devices.getUserMedia({ audio });
  } catch (error) {
    const { name } = /** @type {DOMException} */ (error);
    if (name === "NotAllowedError" || name === "SecurityError") throw new PageError("talk.refused");
    if (name === "NotFoundError" || name === "OverconstrainedError") throw new PageError("talk.no-microphone");
    throw new PageError("talk.microphone-failed", { what: String(error) });
  }
}

/**
 * The frames of a sound file. Throws PageError if it is too long, or if this browser cannot read it.
 *
 * @param {Blob} file
 * @param {number} mostFrames
 * @returns {Promise<TalkFrame[]>}
 */
export async function soundFrames(file, mostFrames) {
  const length = (mostFrames * BLOCK_US) / 1e6;
  if (file.size > MOST_FILE_BYTES) throw new PageError("talk.own.long", { n: length });
  /** @type {AudioBuffer} */
  let sound;
  try {
    sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new PageError("talk.own.unreadable");
  }
  if (sound.duration > length) throw new PageError("talk.own.long", { n: length });
  /** @type {TalkFrame[]} */
  const frames = [];
  const encode = await encoder(
    (frame) => frames.push(frame),
    () => {},
  );
  for (let at = 0; at < sound.length; at += BLOCK) encode.block(blockOf(sound, at));
  await encode.flush();
  encode.close();
  return frames.slice(0, mostFrames);
}

/**
 * 20 ms of all channels together.
 *
 * @param {AudioBuffer} sound
 * @param {number} at
 */
function blockOf(sound, at) {
  const block = new Float32Array(BLOCK);
  for (let channel = 0; channel < sound.numberOfChannels; channel++) {
    const samples = sound.getChannelData(channel).subarray(at, at + BLOCK);
    for (let i = 0; i < samples.length; i++) block[i] += samples[i] / sound.numberOfChannels;
  }
  return block;
}

/**
 * @param {(frame: TalkFrame) => void} take
 * @param {() => void} lost
 */
async function encoder(take, lost) {
  const { AudioEncoder } = globalThis;
  const supported = await AudioEncoder?.isConfigSupported(OPUS).catch(() => undefined);
  return supported?.supported ? opus(take, lost) : mulaw(take);
}

/**
 * @param {(frame: TalkFrame) => void} take
 * @param {() => void} lost
 */
function opus(take, lost) {
  let time = 0;
  const made = new AudioEncoder({
    output(chunk) {
      const content = new Uint8Array(chunk.byteLength);
      chunk.copyTo(content);
      take({ kind: KIND.OPUS, content });
    },
    error: lost,
  });
  made.configure(OPUS);
  return {
    codec: "opus",
    /** @param {Float32Array<ArrayBuffer>} samples */
    block(samples) {
      if (made.state !== "configured") return;
      const { length } = samples;
      const timestamp = time;
      time += BLOCK_US;
      const data = new AudioData({
        format: "f32",
        sampleRate: RATE,
        numberOfFrames: length,
        numberOfChannels: 1,
        timestamp,
        data: samples,
      });
      made.encode(data);
      data.close();
    },
    async flush() {
      // A microphone that is closed meanwhile ends the wait with an error, and then nothing is left to send.
      if (made.state === "configured") await made.flush().catch(() => {});
    },
    close() {
      if (made.state !== "closed") made.close();
    },
  };
}

/** @param {(frame: TalkFrame) => void} take */
function mulaw(take) {
  return {
    codec: "mulaw",
    /** @param {Float32Array} samples */
    block(samples) {
      take({ kind: KIND.MULAW, content: Uint8Array.from(samples, toMulaw) });
    },
    async flush() {},
    close() {},
  };
}

/**
 * ITU-T G.711, µ-law.
 *
 * @param {number} sample -1 to 1
 */
export function toMulaw(sample) {
  const size = Math.min(Math.round(Math.abs(sample) * 32_767), 32_635) + 132;
  const exponent = 24 - Math.clz32(size);
  return ~((sample < 0 ? 0x80 : 0) | (exponent << 4) | ((size >> (exponent + 3)) & 15)) & 0xff;
}
