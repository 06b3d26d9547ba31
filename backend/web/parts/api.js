// Talking to the API: answers, problems (RFC 9457), and what is left of the limits.

const API = document.documentElement.dataset.api;
const WINDOWS = { 1: "this second", 60: "this minute", 3600: "this hour", 86400: "today" };

/** What went wrong, in words for the person at the page. `errors` names the fields. */
class Problem extends Error {
  constructor(title, { detail = "", status = 0, errors = [], request_id = "" } = {}) {
    super(title);
    Object.assign(this, { title, detail, status, errors, request_id });
  }
}

/** The answer's JSON. Throws Problem. */
async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, signed(options));
  } catch {
    throw new Problem("The server cannot be reached", { detail: "Is it running, and are you online?" });
  }
  tellLimits(response.headers);
  if (response.status === 401) askForKey();
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  throw new Problem(body?.title ?? `The server answered ${response.status}`, {
    ...body,
    status: response.status,
  });
}

/** `"generation";q=10;w=60, "global-minute";q=50;w=60` as a map of names to their numbers. */
function policies(header) {
  const found = new Map();
  for (const item of (header ?? "").split(",")) {
    const [name, ...numbers] = item.trim().split(";");
    const pairs = numbers.map((number) => number.split("="));
    if (pairs.length) found.set(name.replaceAll('"', ""), Object.fromEntries(pairs.map(([k, v]) => [k, Number(v)])));
  }
  return found;
}

let limitsFade;

/** Pictures left by the limit on making them, or by a wider one where that is tighter; not work (`qu`). */
function tellLimits(headers) {
  const known = policies(headers.get("RateLimit-Policy"));
  const states = [...policies(headers.get("RateLimit"))].filter(([name]) => !("qu" in (known.get(name) ?? {})));
  if (!states.some(([name]) => /^(generation|key)/.test(name))) return;
  const [name, { r: left, t: seconds }] = states.reduce((a, b) => (b[1].r < a[1].r ? b : a));
  const { q: quota, w } = known.get(name) ?? {};
  const within = WINDOWS[w] ?? `in ${w} s`;
  byId("limits").textContent = left
    ? `${left} of ${quota} left ${within}`
    : `None of ${quota} left ${within}; again in ${inWords(seconds)}`;
  clearTimeout(limitsFade);
  limitsFade = setTimeout(() => (byId("limits").textContent = ""), seconds * 1000);
}
