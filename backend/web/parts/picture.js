// The picture to start from: chosen, dropped, pasted, or one made here.

const COMFORTABLE_SIDE = 1024;

/** `blob` is what is sent: a PNG of just the pixels on the easel. Null: start from words. */
const source = { blob: null };

async function startFrom(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    markWrong([{ field: "image", message: "That is not a picture this browser can read." }]);
    return;
  }
  markWrong([]);
  const { width, height } = scaled(bitmap, bounds.side.maximum);
  for (const canvas of [byId("base"), byId("mask")]) Object.assign(canvas, { width, height });
  byId("base").getContext("2d").drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  source.blob = await png(byId("base"));
  clearMask();
  suggestSize(width, height);
  show(byId("editor"));
  show(byId("drop"), false);
  changed();
  say("Starting from a picture. Paint over what should change, or leave it unpainted.");
}

function dropPicture() {
  source.blob = null;
  byId("image").value = "";
  clearMask();
  show(byId("editor"), false);
  show(byId("drop"));
  changed();
  byId("image").focus();
}

/** One of our own pictures; it may be gone by now. */
async function startFromUrl(url) {
  const response = await fetch(url).catch(() => null);
  if (!response?.ok) {
    showProblem(new Problem("The picture could not be fetched", { detail: "It may no longer be kept." }));
    return;
  }
  await startFrom(await response.blob());
  byId("start").scrollIntoView({ block: "nearest" });
  byId("mask").focus({ preventScroll: true });
}

function scaled({ width, height }, side) {
  const scale = Math.min(1, side / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** A size for the result: the picture's shape, no larger than engines like. */
function suggestSize(width, height) {
  const { minimum, maximum, multipleOf } = bounds.side;
  const size = scaled({ width, height }, COMFORTABLE_SIDE);
  for (const id of ["width", "height"]) {
    const rounded = Math.round(size[id] / multipleOf) * multipleOf;
    byId(id).value = Math.max(minimum, Math.min(maximum, rounded));
  }
}

function png(canvas) {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

function pictureIn(transfer) {
  return [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/"));
}

function wirePicture() {
  byId("image").addEventListener("change", ({ target }) => target.files[0] && startFrom(target.files[0]));
  byId("drop-picture").addEventListener("click", dropPicture);
  document.addEventListener("paste", (event) => {
    const file = pictureIn(event.clipboardData);
    if (file) startFrom(file);
  });
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    const file = pictureIn(event.dataTransfer);
    if (file) startFrom(file);
  });
}
