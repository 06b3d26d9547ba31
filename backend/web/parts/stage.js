// The stage: examples, work in progress, or a picture with all that is to be said of it.

/** `gone`: the picture is known of, but no longer kept. */
const stage = { picture: null, gone: false };

/** A job's pictures as the shelf keeps them. One that could not be stored has no address. */
function picturesOf(job, { kind, fields }) {
  const { parameters = {}, timings = {}, model, device, cached, degraded, warnings } = job;
  return job.images
    .filter(({ image_url }) => image_url)
    .map(({ image_url, seed }) => ({
      url: image_url, seed, kind, fields, parameters, timings, model, device, cached, degraded, warnings,
    }));
}

function showPicture(picture) {
  stage.picture = picture;
  const image = byId("shown");
  image.alt = picture.fields.prompt;
  image.src = picture.url;
  stage.gone = false;
  tellPicture(picture);
  arrange();
}

function tellPicture(picture) {
  const { url, seed, kind, fields, parameters, timings, model, device, cached, degraded, warnings } = picture;
  const { width, height, steps, sampler_name: sampler } = parameters;
  const seconds = timings.engine_s ?? null;
  const facts = [
    `seed ${seed}`,
    width && `${width} × ${height}`,
    steps && `${steps} steps`,
    sampler,
    model,
    cached ? "made before" : seconds !== null && `${seconds.toFixed(1)} s${device === "cpu" ? " on CPU" : ""}`,
    timings.queue_s > 1 && `waited ${inWords(timings.queue_s)}`,
  ];
  byId("caption-prompt").textContent = fields.prompt;
  byId("caption-facts").textContent = facts.filter(Boolean).join(" · ");
  const notes = [degraded && `A stand-in made it; less than asked in: ${degraded.join(", ")}.`, ...(warnings ?? [])];
  byId("caption-notes").textContent = notes.filter(Boolean).join(" ");
  show(byId("caption-notes"), notes.some(Boolean));
  byId("download").href = url;
  byId("download").download = `sluice-${seed}`;
  show(byId("copy-picture-curl"), kind === "txt2img");
}

/** Shows of the stage what there is to show. */
function arrange() {
  const { picture, gone } = stage;
  const busy = running !== null;
  show(byId("work"), busy);
  show(byId("empty"), !busy && !picture);
  show(byId("shown"), !busy && picture && !gone);
  show(byId("gone"), !busy && gone);
  show(byId("caption"), !busy && picture);
  byId("generate").ariaDisabled = busy;
  show(byId("cancel"), busy);
  markShown();
}

function clearStage() {
  stage.picture = null;
  stage.gone = false;
  byId("shown").removeAttribute("src");
  arrange();
}

/** How the running job stands: `progress` 0 to 1, or null while that is unknown. */
function showStanding(words, progress = null, preview = null) {
  byId("standing-words").textContent = words;
  if (progress === null) byId("progress").removeAttribute("value");
  else byId("progress").value = progress;
  if (preview) byId("preview").src = preview;
  show(byId("preview"), byId("preview").hasAttribute("src"));
  document.title = progress === null ? "Waiting – Sluice" : `${Math.round(progress * 100)} % – Sluice`;
}

function clearStanding() {
  byId("preview").removeAttribute("src");
  document.title = "Sluice";
}

function wireStage() {
  byId("shown").addEventListener("error", async () => {
    const { picture } = stage;
    if (!picture || !(await isGone(picture.url)) || stage.picture !== picture) return;
    stage.gone = true;
    arrange();
  });
  byId("use-picture").addEventListener("click", () => startFromUrl(stage.picture.url));
  byId("use-settings").addEventListener("click", () => {
    setValues({ ...stage.picture.fields, seed: stage.picture.seed });
    changed();
    byId("prompt").focus();
  });
  byId("copy-picture-curl").addEventListener("click", ({ target }) => {
    const { kind, fields, seed } = stage.picture;
    copy(curlLine({ kind, fields: { ...fields, seed, batch_size: 1 } }), target);
  });
  byId("forget").addEventListener("click", () => {
    forget(stage.picture);
    clearStage();
    byId("prompt").focus();
  });
}
