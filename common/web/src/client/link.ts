/**
 * Links: one JSON message after another over WebTransport (a box, its certificate pinned by hash) or WebSocket (a
 * cloud; a box that serves this page). A link knows nothing of what it carries.
 */
import { LIMITS, type Path } from './generated';
import { unhex } from './bytes';
import { asError, PlugsideError } from './errors';

export const LINK_PATH = '/v1/link';
/** A dial that takes longer leads nowhere. */
export const OPEN_TIMEOUT_MS = 5000;

export interface Link {
  readonly path: Path;
  /** Where it leads, for people. */
  readonly peer: string;
  /** Certificates that the transport would have taken, SHA-256 hex; null = it has its own way to judge. */
  readonly pins: readonly string[] | null;
  /** Send one message. Never waits, and after the end does nothing. */
  send(text: string): void;
  /** Hear what comes, in order, and the end, once. What came before this call is not lost. */
  listen(frame: (text: string) => void, ended: (why: PlugsideError) => void): void;
  close(): void;
}

/** What a link hears, kept until somebody listens. */
class Ear {
  private frames: string[] = [];
  private why: PlugsideError | null = null;
  private onFrame: ((text: string) => void) | null = null;
  private onEnd: ((why: PlugsideError) => void) | null = null;

  hear(text: string): void {
    if (this.onFrame) this.onFrame(text);
    else this.frames.push(text);
  }

  end(why: PlugsideError): void {
    if (this.why) return;
    this.why = why;
    this.onEnd?.(why);
  }

  listen(frame: (text: string) => void, ended: (why: PlugsideError) => void): void {
    this.onFrame = frame;
    this.onEnd = ended;
    for (const text of this.frames.splice(0)) frame(text);
    if (this.why) ended(this.why);
  }
}

function within<T>(work: Promise<T>, ms: number, why: () => PlugsideError): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(why()), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

const noPath = (detail: string) => new PlugsideError('no_path', detail);

/** The app link's URL of a cloud, from its base URL or the link's own. Throws no_path for what is no URL. */
export function linkUrl(base: string): string {
  let url: URL;
  try {
    url = new URL(base);
  } catch {
    throw noPath(`${base} is no address`);
  }
  const loopback = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  if (url.protocol === 'https:' || url.protocol === 'wss:') url.protocol = 'wss:';
  else if (loopback && (url.protocol === 'http:' || url.protocol === 'ws:')) url.protocol = 'ws:';
  else throw noPath(`${base} is not encrypted`);
  const path = url.pathname.replace(/\/+$/, '');
  url.pathname = path.endsWith(LINK_PATH) ? path : path + LINK_PATH;
  url.search = '';
  url.hash = '';
  return url.href;
}

/** Open a WebSocket. Rejects with no_path. */
export function dialSocket(url: string, path: Path): Promise<Link> {
  return new Promise((resolve, reject) => {
    const peer = new URL(url).host;
    let socket: WebSocket;
    try {
      socket = new WebSocket(url);
    } catch (wrong) {
      reject(noPath(`${peer}: ${asError(wrong).message}`));
      return;
    }
    const ear = new Ear();
    const timer = setTimeout(() => {
      socket.close();
      reject(noPath(`${peer} does not answer`));
    }, OPEN_TIMEOUT_MS);
    socket.onopen = () => {
      clearTimeout(timer);
      resolve({
        path,
        peer,
        pins: null,
        send: (text) => {
          if (socket.readyState === WebSocket.OPEN) socket.send(text);
        },
        listen: (frame, ended) => ear.listen(frame, ended),
        close: () => socket.close(),
      });
    };
    socket.onmessage = (event) => {
      if (typeof event.data === 'string' && event.data.length <= LIMITS.serverBytesMax) ear.hear(event.data);
      else socket.close();
    };
    socket.onclose = () => {
      clearTimeout(timer);
      const why = noPath(`${peer} hung up`);
      ear.end(why);
      reject(why); // without effect once it was open
    };
  });
}

export function hasWebTransport(): boolean {
  return 'WebTransport' in globalThis;
}

/** Open a WebTransport session to a box by certificate hash, and in it the one stream. Rejects with no_path. */
export async function dialBox(address: string, pins: readonly string[]): Promise<Link> {
  const silent = () => noPath(`${address} does not answer`);
  let session: WebTransport;
  try {
    session = new WebTransport(`https://${address}${LINK_PATH}`, {
      serverCertificateHashes: pins.map((pin) => ({ algorithm: 'sha-256', value: unhex(pin) })),
      congestionControl: 'low-latency',
    });
  } catch (wrong) {
    throw noPath(`${address}: ${asError(wrong).message}`);
  }
  const ear = new Ear();
  const ended = session.closed.then(
    () => ear.end(noPath(`${address} hung up`)),
    () => ear.end(noPath(`${address} was lost`)),
  );
  try {
    await within(session.ready, OPEN_TIMEOUT_MS, silent);
    const stream = await within(session.createBidirectionalStream(), OPEN_TIMEOUT_MS, silent);
    const writer = stream.writable.getWriter();
    writer.closed.catch(() => {}); // the session's end tells it
    const encoder = new TextEncoder();
    void read(stream.readable, ear, session);
    return {
      path: 'lan',
      peer: address,
      pins,
      send: (text) => void writer.write(encoder.encode(`${text}\n`)).catch(() => {}),
      listen: (frame, over) => ear.listen(frame, over),
      close: () => {
        session.close();
        void ended;
      },
    };
  } catch (failed) {
    quietly(() => session.close());
    throw failed instanceof PlugsideError ? failed : silent();
  }
}

function quietly(work: () => void): void {
  try {
    work();
  } catch {
    // It was closed already.
  }
}

/** One frame a line, as on the box's own socket. */
async function read(readable: ReadableStream<Uint8Array>, ear: Ear, session: WebTransport): Promise<void> {
  const reader = readable.getReader();
  const decoder = new TextDecoder();
  // Only what is new is looked through: a large snapshot comes in thousands of pieces.
  let pieces: string[] = [];
  let held = 0;
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const [first = '', ...more] = decoder.decode(value, { stream: true }).split('\n');
      pieces.push(first);
      held += first.length;
      for (const next of more) {
        const line = pieces.join('');
        if (line) ear.hear(line);
        pieces = [next];
        held = next.length;
      }
      if (held > LIMITS.serverBytesMax) break;
    }
  } catch {
    // The session's end tells why.
  }
  ear.end(noPath('the box hung up'));
  quietly(() => session.close());
}
