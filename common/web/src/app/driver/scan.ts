/** Reading a QR from the camera: the browser's own detector where it has one, else a decoder that is loaded for it. */

/** Looks a second: enough for a hand that moves, and the phone stays cool. */
const LOOK_MS = 150;
/** The longer side of what is decoded, px: a QR that fills a third of it is read. */
const LOOK_SIDE = 640;

/** What a QR in this picture says; undefined = there is none. */
export type Decoder = (video: HTMLVideoElement) => Promise<string | undefined>;

interface Detector {
  detect(source: HTMLVideoElement): Promise<{ rawValue: string }[]>;
}

declare global {
  interface Window {
    BarcodeDetector?: {
      new (options: { formats: string[] }): Detector;
      getSupportedFormats(): Promise<string[]>;
    };
  }
}

async function supported(own: NonNullable<Window['BarcodeDetector']>): Promise<boolean> {
  try {
    return (await own.getSupportedFormats()).includes('qr_code');
  } catch {
    return false;
  }
}

/** The decoder that this browser has, or the one that is loaded. */
export async function decoder(): Promise<Decoder> {
  const own = window.BarcodeDetector;
  if (own !== undefined && (await supported(own))) {
    const detector = new own({ formats: ['qr_code'] });
    return async (video) => (await detector.detect(video).catch(() => []))[0]?.rawValue;
  }
  const { default: decodeQR } = await import('qr/decode.js');
  const canvas = document.createElement('canvas');
  const drawing = canvas.getContext('2d', { willReadFrequently: true });
  return (video) => {
    const scale = Math.min(1, LOOK_SIDE / Math.max(video.videoWidth, video.videoHeight, 1));
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    if (drawing === null || canvas.width === 0) return Promise.resolve(undefined);
    drawing.drawImage(video, 0, 0, canvas.width, canvas.height);
    try {
      const picture = drawing.getImageData(0, 0, canvas.width, canvas.height);
      return Promise.resolve(decodeQR({ width: picture.width, height: picture.height, data: picture.data }));
    } catch {
      return Promise.resolve(undefined); // it throws where there is no QR
    }
  };
}

/** Look through the camera into `video` until `found` says that it has what it wants. Returns what ends it. */
export async function scan(video: HTMLVideoElement, found: (text: string) => boolean): Promise<() => void> {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' }, audio: false });
  let on = true;
  const end = (): void => {
    on = false;
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  };
  try {
    video.srcObject = stream;
    await video.play();
    const decode = await decoder();
    const look = async (): Promise<void> => {
      if (!on) return;
      const text = await decode(video);
      if (on && text && found(text)) end();
      else if (on) setTimeout(() => void look(), LOOK_MS);
    };
    void look();
  } catch (failed) {
    end();
    throw failed;
  }
  return end;
}
