// A small client of the app link for pages of the tests, written from common/appsession/PROTOCOL.md alone.
// Functions are global on purpose: a test calls them in the page. Nothing here is the product's app.

const encoder = new TextEncoder();

function b64(bytes) {
  return btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function unb64(text) {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
}

function unhex(text) {
  return Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
}

async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

async function hexDigest(text) {
  return Array.from(await sha256(encoder.encode(text)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function fingerprint(point) {
  const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  let bits = 0, held = 0, text = "";
  for (const byte of await sha256(point)) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += alphabet[(held >> bits) & 31];
      held &= (1 << bits) - 1;
    }
  }
  return text.slice(0, 32);
}

async function newKey() {
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
  const point = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  const [x, y] = [b64(point.slice(1, 33)), b64(point.slice(33))];
  const thumbprint = b64(await sha256(encoder.encode(`{"crv":"P-256","kty":"EC","x":"${x}","y":"${y}"}`)));
  const sign = async (purpose, message) =>
    b64(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, pair.privateKey, encoder.encode(`${purpose}|${message}`)));
  return { public: b64(point), thumbprint, sign };
}

async function signedBy(key, signature, purpose, message) {
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const imported = await crypto.subtle.importKey("raw", unb64(key), algorithm, false, ["verify"]);
  return crypto.subtle.verify(
    { name: "ECDSA", hash: "SHA-256" }, imported, unb64(signature), encoder.encode(`${purpose}|${message}`));
}

// One link over WebTransport: `say` sends a message, `hear` gives the next one, null at the end.
async function dial(url, pins) {
  const transport = new WebTransport(url, {
    serverCertificateHashes: pins.map((pin) => ({ algorithm: "sha-256", value: unhex(pin).buffer })),
  });
  transport.closed.catch(() => {});
  await transport.ready;
  const stream = await transport.createBidirectionalStream();
  const writer = stream.writable.getWriter();
  const reader = stream.readable.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  return {
    transport,
    raw: (text) => writer.write(encoder.encode(text)),
    say: (message) => writer.write(encoder.encode(JSON.stringify(message) + "\n")),
    async hear() {
      for (;;) {
        const at = rest.indexOf("\n");
        if (at >= 0) {
          const line = rest.slice(0, at);
          rest = rest.slice(at + 1);
          if (line) return JSON.parse(line);
          continue;
        }
        const { done, value } = await reader.read();
        if (done) return null;
        rest += value;
      }
    },
  };
}

// hello and proof. Gives the transcript, or throws before anything else was said.
async function prove(link, box, pins) {
  const nonce = b64(crypto.getRandomValues(new Uint8Array(32)));
  await link.say({ kind: "hello", versions: [1], nonce });
  const proof = await link.hear();
  if (!proof || proof.kind !== "proof") throw new Error("no proof");
  if (proof.path !== "lan" || proof.version !== 1) throw new Error("protocol");
  const named = await fingerprint(unb64(proof.key));
  if (named !== proof.server || named !== box) throw new Error("untrusted_peer");
  // A page cannot see which of its pins it met, so the box has to stand for each of them.
  if (!pins.every((pin) => proof.certificates.includes(pin))) throw new Error("untrusted_peer");
  for (const pin of proof.certificates.filter((hash) => pins.includes(hash))) {
    const transcript = ["1", "1", nonce, proof.nonce, proof.server, "lan", proof.certificates.join(","), pin].join("\n");
    const message = `${transcript}\n${proof.time}\n${proof.clock ?? "synced"}`;
    if (await signedBy(proof.key, proof.signature, "plugside-server-proof-v1", message)) return { transcript, proof };
  }
  throw new Error("untrusted_peer");
}

async function until(link, ...kinds) {
  for (;;) {
    const message = await link.hear();
    if (message === null) throw new Error("the link ended");
    if (message.kind === "bye") throw new Error(message.code);
    if (message.kind === "refused" && !kinds.includes("refused")) throw new Error(message.code);
    if (kinds.includes(message.kind)) return message;
  }
}

async function show(link, transcript, key, grant) {
  const signature = await key.sign("plugside-client-auth-v1", `${transcript}\n${key.thumbprint}\n${await hexDigest(grant)}`);
  await link.say({ kind: "auth", grants: [grant], key: key.public, signature });
  return until(link, "welcome");
}

// Join by an invite's text: the link stays open. Gives {link, key, granted, welcome}.
async function join(text, device = "page") {
  const ticket = JSON.parse(new TextDecoder().decode(unb64(text.replace(/^plugside1_/, ""))));
  const [secret, box, , , addresses, pins] = ticket;
  const key = await newKey();
  const link = await dial(`https://${addresses[0]}/v1/link`, pins);
  const { transcript } = await prove(link, box, pins);
  const signature = await key.sign("plugside-client-redeem-v1", `${transcript}\n${key.thumbprint}\n${await hexDigest(secret)}`);
  await link.say({ kind: "redeem", secret, key: key.public, signature, device });
  const granted = await until(link, "granted");
  const welcome = await show(link, transcript, key, granted.grant);
  return { link, key, granted, welcome };
}

// Open a link again with what `join` gave.
async function reopen(joined) {
  const { addresses, key: box, certificates } = joined.granted.site;
  const link = await dial(`https://${addresses[0]}/v1/link`, certificates);
  const { transcript, proof } = await prove(link, box, certificates);
  const welcome = await show(link, transcript, joined.key, joined.granted.grant);
  return { ...joined, link, welcome, proof };
}

function uuid7() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  let now = Date.now();
  for (let at = 5; at >= 0; at--) {
    bytes[at] = now % 256;
    now = Math.floor(now / 256);
  }
  bytes[6] = (bytes[6] & 15) | 0x70;
  bytes[8] = (bytes[8] & 63) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

// Send a command and give everything that was said of it up to `last`, with the milliseconds from the tap.
async function command(joined, name, charger, args = {}, last = "settled") {
  const began = performance.now();
  const { link, key, granted } = joined;
  const site = granted.site.site;
  const id = uuid7();
  const payload = encoder.encode(JSON.stringify({
    site, id, name, target: { charger, evse: 1, connector: 1 }, args, expires_at: new Date(Date.now() + 20000).toISOString(),
  }));
  const signature = await key.sign("plugside-command-v1", new TextDecoder().decode(payload));
  await link.say({ kind: "command", id, site, envelope: `${b64(payload)}.${key.public}.${signature}`, grant: granted.grant });
  const said = [];
  for (;;) {
    const message = await until(link, "accepted", "confirmed", "settled", "refused");
    if (message.id !== id) continue;
    said.push({ ...message, ms: performance.now() - began });
    if (message.kind === last || message.kind === "settled" || message.kind === "refused") return said;
  }
}
