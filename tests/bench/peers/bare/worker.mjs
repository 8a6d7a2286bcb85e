// Builds the storefront's answers and decides nothing but which one by the path: as fast as JavaScript on this runtime gets.

const SECURITY = {
  "cross-origin-opener-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
  "referrer-policy": "strict-origin-when-cross-origin",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

const plain = (reason) => ({
  "content-type": "text/plain; charset=utf-8",
  "cache-control": "no-store",
  "cache-status": `Selvedge;detail=${reason}`,
  ...SECURITY,
});

const GEO = { status: 403, headers: plain("geo.blocked") };
const BOT = { status: 403, headers: plain("bot.blocked") };
const NOT_FOUND = { status: 404, headers: plain("route.not-found") };
const REDIRECT = {
  status: 302,
  headers: {
    location: "https://global.example.com/",
    "cache-control": "no-store",
    "cache-status": "Selvedge;detail=route.redirected",
    ...SECURITY,
  },
};

export default {
  async fetch(request) {
    const { url } = request;
    if (url.endsWith("/geo")) return new Response("Blocked in China", GEO);
    if (url.endsWith("/bot")) return new Response("Bot detected", BOT);
    if (url.endsWith("/go")) return new Response(null, REDIRECT);
    if (!url.endsWith("/api/user")) return new Response("Not found", NOT_FOUND);
    const response = await fetch("http://origin.test/api/user", { headers: request.headers, redirect: "manual" });
    const answered = new Response(response.body, response);
    for (const name in SECURITY) answered.headers.set(name, SECURITY[name]);
    answered.headers.append("cache-status", "Selvedge;fwd=bypass;detail=backend.responded");
    return answered;
  },
};
