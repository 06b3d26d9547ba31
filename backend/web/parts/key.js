// The API key, where the API asks for one. It stays in this tab.

function heldKey() {
  try {
    return sessionStorage.getItem("sluice.key");
  } catch {
    return null;
  }
}

/** What fetch takes to send `options` with the key, and without the browser's own password dialog. */
function signed(options = {}) {
  const key = heldKey();
  const headers = key ? { ...options.headers, "X-API-Key": key } : options.headers;
  return { ...options, headers, credentials: "omit" };
}

function askForKey() {
  if (!byId("unlock").hidden) return;
  show(byId("unlock"));
  byId("key").focus();
}

function wireKey() {
  byId("unlock").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem("sluice.key", byId("key").value.trim());
    location.reload();
  });
}
