// Mutes stretches of a sound. Packets of AAC that sound in a stretch are replaced by silent ones, and one packet more
// on both sides, because an encoder looks ahead. The other packets stay as they were recorded. Browsers that lack an
// encoder for AAC can mute as well. Source: ISO/IEC 14496-3, 4.6.11 (a packet sounds for two of its lengths).
import { FormatError, PageError } from "../errors.js";
import { boxes, descend, find, inside } from "../wire/boxes.js";
import { concat } from "../wire/bytes.js";
import { lasting } from "../wire/redactions.js";
import { box, full, soundHeader } from "./mp4_writer.js";
import { soundOf } from "./sound.js";

/** @import { Bytes } from "../types.js" */
/** @import * as Wire from "../wire/generated.js" */
/** @typedef {{ at: number, duration: number, data: Uint8Array }} Packet `at` and `duration` in samples */

const PACKET_SAMPLES = 1024;
/** One silent packet of AAC-LC, by the number of channels. */
const SILENT = [[], [0x00, 0xc8, 0x00, 0x80, 0x23, 0x80], [0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c]];
const AAC_LC = 2;
const ALONE = 0x0200_0000;
/** Loudest sample of a muted stretch, of 1. */
const QUIET = 0.01;
/** A muted stretch is checked from this long after its begin until this long before its end. */
const RIM_MS = 50;

/**
 * The sound with each redaction's stretch as silence.
 *
 * @param {Bytes} media
 * @param {Wire.Redaction[]} redactions
 * @param {number} lengthMs the length of the film by its record
 */
export function muteSound(media, redactions, lengthMs) {
  const { silent, ...form } = formOf(media);
  const stretches = lasting(redactions, lengthMs).map(({ from_ms: from, until_ms: until }) => [
    (from * form.rate) / 1000 - 3 * PACKET_SAMPLES,
    (until * form.rate) / 1000 + PACKET_SAMPLES,
  ]);
  const packets = packetsIn(media).map((packet) =>
    stretches.some(([first, last]) => first < packet.at && packet.at < last) ? { ...packet, data: silent } : packet,
  );
  return concat(soundHeader(form), fragmentOf(packets));
}

/**
 * Throws FormatError unless each listed stretch of a sound is silent.
 *
 * @param {Bytes} media
 * @param {Wire.Redaction[]} redactions
 */
export async function requireMuted(media, redactions) {
  const { rate } = formOf(media);
  for (const { at, samples } of await heardIn(media))
    for (const { from_ms: from, until_ms: until } of redactions) {
      const first = Math.max(0, Math.floor(((from + RIM_MS) * rate) / 1000) - at);
      const last = Math.ceil(((until - RIM_MS) * rate) / 1000) - at;
      if (samples.subarray(first, Math.max(first, last)).some((each) => Math.abs(each) > QUIET))
        throw new FormatError("error.not-muted");
    }
}

/**
 * Decodes a sound: each channel of each packet.
 *
 * @param {Bytes} media
 * @returns {Promise<{ at: number, samples: Float32Array }[]>}
 */
async function heardIn(media) {
  const { rate, channels, configuration: description } = formOf(media);
  const configuration = { codec: "mp4a.40.2", sampleRate: rate, numberOfChannels: channels, description };
  if (!("AudioDecoder" in globalThis)) throw new PageError("error.sound-unknown");
  const known = await AudioDecoder.isConfigSupported(configuration).catch(() => null);
  if (!known?.supported) throw new PageError("error.sound-unknown");
  /** @type {{ at: number, samples: Float32Array }[]} */
  const found = [];
  const failed = () => new FormatError("error.sound-broken");
  const decoder = new AudioDecoder({
    output(data) {
      const at = Math.round((data.timestamp * rate) / 1_000_000);
      for (let channel = 0; channel < data.numberOfChannels; channel++) {
        const samples = new Float32Array(data.numberOfFrames);
        data.copyTo(samples, { planeIndex: channel, format: "f32-planar" });
        found.push({ at, samples });
      }
      data.close();
    },
    error() {},
  });
  try {
    decoder.configure(configuration);
    for (const { at, data } of packetsIn(media))
      decoder.decode(
        new EncodedAudioChunk({ type: "key", timestamp: Math.round((at * 1_000_000) / rate), data: data.slice() }),
      );
    await decoder.flush();
  } catch {
    throw failed();
  } finally {
    if (decoder.state !== "closed") decoder.close();
  }
  if (!found.length) throw failed();
  return found;
}

/**
 * How a sound is encoded. Throws `PageError` for a sound of which the silent packet is unknown.
 *
 * @param {Bytes} media
 */
function formOf(media) {
  const { rate, configuration } = soundOf(media);
  const channels = (configuration[1] >> 3) & 15;
  const silent = SILENT[channels];
  const isShort = (configuration[1] & 4) !== 0; // packets of 960 samples
  if (configuration[0] >> 3 !== AAC_LC || !silent?.length || isShort) throw new PageError("error.sound-unknown");
  return { rate, channels, configuration, silent: Uint8Array.from(silent) };
}

const RUN = 0x07_01;

/**
 * The packets of a sound in the doorbell's form.
 *
 * @param {Bytes} media
 * @returns {Packet[]}
 */
function packetsIn(media) {
  const bad = () => new FormatError("error.sound-broken");
  const moof = find(media, "moof");
  const after = moof && boxes(media).find((each) => each[0] === moof[1] && each[2] === "mdat");
  if (!moof || !after || boxes(media).filter((each) => each[2] === "moof").length !== 1) throw bad();
  const [fragment, data] = [inside(media, moof), inside(media, after)];
  const [tfdt, trun] = [descend(fragment, "traf", "tfdt"), descend(fragment, "traf", "trun")];
  const view = new DataView(trun.buffer, trun.byteOffset, trun.length);
  const count = view.getUint32(4);
  if (tfdt[0] !== 1 || view.getUint32(0) !== RUN || trun.length !== 12 + 12 * count) throw bad();
  let at = Number(new DataView(tfdt.buffer, tfdt.byteOffset).getBigUint64(4));
  let place = 0;
  const found = [];
  for (let i = 0; i < count; i++) {
    const [duration, size] = [view.getUint32(12 + 12 * i), view.getUint32(16 + 12 * i)];
    if (place + size > data.length) throw bad();
    found.push({ at, duration, data: data.subarray(place, place + size) });
    at += duration;
    place += size;
  }
  return found;
}

/** @param {Packet[]} packets */
function fragmentOf(packets) {
  const runs = packets.flatMap(({ duration, data }) => [duration, data.length, ALONE]);
  /** @param {number} offset */
  const moof = (offset) =>
    box(
      "moof",
      full("mfhd", 0, 1),
      box(
        "traf",
        full("tfhd", 0x02_0000, 1),
        full("tfdt", 0x0100_0000, 0, packets[0].at),
        full("trun", RUN, packets.length, offset, ...runs),
      ),
    );
  return concat(moof(moof(0).length + 8), box("mdat", ...packets.map(({ data }) => data)));
}
