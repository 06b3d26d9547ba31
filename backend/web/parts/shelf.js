// The pictures made here. Remembered are their addresses and how they came to be, not their bytes.

const MOST_PICTURES = 120;
const THUMB_WIDTH = 256;

const shelved = () => remembered("pictures", []);

/** Newest first; what another tab put there in the meantime stays. */
function shelve(pictures) {
  const urls = new Set(pictures.map(({ url }) => url));
  const others = shelved().filter(({ url }) => !urls.has(url));
  remember("pictures", [...pictures, ...others].slice(0, MOST_PICTURES));
  renderShelf();
}

function forget(picture) {
  remember("pictures", shelved().filter(({ url }) => url !== picture.url));
  renderShelf();
}

function renderShelf() {
  const pictures = shelved();
  byId("pictures").replaceChildren(...pictures.map((picture) => make("li", {}, thumb(picture))));
  show(byId("shelf"), pictures.length > 0);
  markShown();
}

function thumb(picture) {
  const image = make("img", { loading: "lazy", decoding: "async", alt: picture.fields.prompt });
  const button = make("button", { type: "button", title: `${picture.fields.prompt} (seed ${picture.seed})` }, image);
  button.dataset.url = picture.url;
  button.addEventListener("click", () => showPicture(picture));
  image.addEventListener("error", async () => {
    if (await isGone(picture.url)) button.classList.add("gone");
  });
  image.src = `${picture.url}?format=webp&width=${THUMB_WIDTH}`;
  return button;
}

async function isGone(url) {
  const response = await fetch(url, { method: "HEAD" }).catch(() => null);
  return response !== null && [404, 410].includes(response.status);
}

function markShown() {
  for (const button of byId("pictures").querySelectorAll("button")) {
    button.setAttribute("aria-current", button.dataset.url === stage.picture?.url);
  }
}
