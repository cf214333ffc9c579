// The service worker: the shell opens with no network, and a newer one waits until the person says so.
// FILES and VERSION are put in by the build (tools/shell.ts).
const VERSION = '__VERSION__';
const FILES = ['__FILES__'];
const CACHE = `plugside-${VERSION}`;
const OURS = new Set(FILES);

self.addEventListener('install', (event) => {
  // Past the HTTP cache: what is kept here belongs together.
  const wanted = FILES.map((file) => new Request(file, { cache: 'reload' }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(wanted)));
});

self.addEventListener('activate', (event) => {
  const clean = async () => {
    const names = await caches.keys();
    const old = names.filter((name) => name.startsWith('plugside-') && name !== CACHE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(clean());
});

self.addEventListener('message', (event) => {
  if (event.data === 'take over') void self.skipWaiting();
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== self.location.origin) return;
  // One page has all the places of the app in its fragment. The API is nobody's business here.
  if (!OURS.has(url.pathname)) return;
  event.respondWith(
    caches.open(CACHE).then(async (cache) => (await cache.match(url.pathname)) ?? fetch(request)),
  );
});
