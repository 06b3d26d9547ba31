// A request as it will be sent: its kind, its body, and the curl line that sends the same.

const LABELS = { txt2img: "Generate", img2img: "Make it like this picture", inpainting: "Repaint what is painted" };

function kindAsked() {
  if (!source.blob) return "txt2img";
  return mask.painted ? "inpainting" : "img2img";
}

/** Kind and fields; the pictures are not in it, so it can be remembered. */
function asked() {
  const kind = kindAsked();
  const fields = values();
  if (kind !== "txt2img") fields.strength = Number(byId("strength").value);
  return { kind, fields };
}

/** What fetch takes to send it. */
async function optionsFor({ kind, fields }) {
  const headers = { Prefer: "respond-async" };
  if (kind === "txt2img") {
    headers["Content-Type"] = "application/json";
    return { method: "POST", headers, body: JSON.stringify(fields) };
  }
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append("image", source.blob, "image.png");
  if (kind === "inpainting") form.append("mask", await maskPng(), "mask.png");
  return { method: "POST", headers, body: form };
}

function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The picture itself is asked for; several come as JSON. */
function curlLine({ kind, fields }) {
  const answer = fields.batch_size > 1 ? ["-o pictures.json"] : ["-o picture.png", "-H 'Accept: image/*'"];
  const parts = [`curl ${location.origin}${API}/${kind} ${answer.join(" ")}`];
  if (heldKey()) parts.push('-H "X-API-Key: $API_KEY"');
  if (kind === "txt2img") parts.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(fields))}`);
  else {
    parts.push("-F image=@image.png");
    if (kind === "inpainting") parts.push("-F mask=@mask.png");
    // --form-string: a value that begins with @ or < is no file.
    for (const [name, value] of Object.entries(fields)) parts.push(`--form-string ${quoted(`${name}=${value}`)}`);
  }
  return parts.join(" \\\n  ");
}

/** Something of what is asked changed: the words that say it follow. */
function changed() {
  const request = asked();
  byId("generate").textContent = LABELS[request.kind];
  byId("strength-shown").textContent = `${Math.round(byId("strength").value * 100)} %`;
  byId("curl").textContent = curlLine(request);
  show(byId("save-image"), request.kind !== "txt2img");
  show(byId("save-mask"), request.kind === "inpainting");
  remember("form", request.fields);
}

/** Puts what the curl line reads among the person's downloads. */
function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

function showProblem(problem) {
  const homeless = markWrong(problem.errors);
  const inPlace = problem.errors.length > homeless.length;
  const detail = homeless.length || !inPlace ? problem.detail : "See what is marked.";
  const box = byId("problem");
  box.replaceChildren(make("p", {}, make("strong", { textContent: problem.title })), make("p", { textContent: detail }));
  if (problem.request_id) box.append(make("small", { textContent: `Request ${problem.request_id}` }));
  show(box);
}

function clearProblem() {
  markWrong([]);
  show(byId("problem"), false);
}
