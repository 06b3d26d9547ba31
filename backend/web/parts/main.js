// Ties it together once the page is there.

function offerExamples(prompts) {
  const chips = prompts.map((prompt) => {
    const button = make("button", { type: "button", textContent: prompt });
    button.addEventListener("click", () => {
      byId("prompt").value = prompt;
      changed();
      begin();
    });
    return make("li", {}, button);
  });
  byId("examples").replaceChildren(...chips);
}

function pressed(event) {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    begin();
  } else if (event.key === "Escape" && running) cancel();
}

function wire() {
  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    begin();
  });
  byId("form").addEventListener("input", changed);
  byId("cancel").addEventListener("click", cancel);
  byId("copy-curl").addEventListener("click", ({ target }) => copy(byId("curl").textContent, target));
  byId("save-image").addEventListener("click", () => save(source.blob, "image.png"));
  byId("save-mask").addEventListener("click", async () => save(await maskPng(), "mask.png"));
  document.addEventListener("keydown", pressed);
  addEventListener("storage", ({ key }) => key === "sluice.pictures" && renderShelf());
  wireKey();
  wirePicture();
  wireBrush();
  wireStage();
}

async function open() {
  const before = remembered("form", null);
  wire();
  renderShelf();
  if (shelved().length) showPicture(shelved()[0]);
  takeUp();
  try {
    offerExamples(await readApi());
  } catch (problem) {
    showProblem(problem);
  }
  if (before) setValues(before);
  changed();
  document.documentElement.dataset.ready = "";
  if (!matchMedia("(pointer: coarse)").matches) byId("prompt").focus({ preventScroll: true });
}

open();
