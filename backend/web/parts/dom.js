// The document: finding, making, showing; and what this browser remembers.

const byId = (id) => document.getElementById(id);

/** A new element. Text only ever comes in as text, never as markup. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function show(element, visible = true) {
  element.hidden = !visible;
}

/** For those who listen: said once, politely. */
function say(text) {
  byId("said").textContent = text;
}

function remembered(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`sluice.${name}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Keeps `value` over a reload; null forgets it. A browser that keeps nothing is no error. */
function remember(name, value) {
  try {
    if (value === null) localStorage.removeItem(`sluice.${name}`);
    else localStorage.setItem(`sluice.${name}`, JSON.stringify(value));
  } catch {
    // Private windows and full disks: the page works on without a memory.
  }
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function inWords(seconds) {
  if (seconds < 1) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return `${Math.round(seconds / 60)} min`;
}

/** Clipboards are for https and localhost; elsewhere the old way still works. */
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { value: text, className: "unseen" });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const label = button.textContent;
  if (label === "Copied") return;
  button.textContent = "Copied";
  say("Copied");
  setTimeout(() => (button.textContent = label), 1500);
}
