// Interfaces of the newest browsers that TypeScript's own list lacks.

/** MediaSource as iPhones have it. */
declare var ManagedMediaSource: typeof MediaSource | undefined;

/** https://www.w3.org/TR/trusted-types/ */
declare var trustedTypes:
  | {
      createPolicy(
        name: string,
        rules: { createScriptURL(address: string): string },
      ): { createScriptURL(address: string): string };
    }
  | undefined;

/** In the audio thread: https://webaudio.github.io/web-audio-api/#AudioWorkletGlobalScope */
declare const sampleRate: number;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: typeof AudioWorkletProcessor): void;

/** A track of pictures that a program makes, in Chromium: https://w3c.github.io/mediacapture-transform/ */
declare class MediaStreamTrackGenerator extends MediaStreamTrack {
  constructor(init: { kind: "video" });
  readonly writable: WritableStream<VideoFrame>;
}

/** The texts of the set-up page by language; the build puts them in (build.mjs). */
declare const SET_UP_TEXTS: Record<string, Record<string, string>>;
