// The form's fields: their bounds and choices from the API, their values, what is wrong with them.

const FIELDS = [
  "prompt", "negative_prompt", "width", "height", "steps", "seed",
  "model", "sampler_name", "cfg_scale", "batch_size", "scheduler",
];
const EXAMPLES = [
  "a lighthouse on a cliff at dusk, oil painting", "a fox in the snow, ink drawing",
  "a small red house by a lake", "a bowl of oranges, morning light",
];
const DEMO_EXAMPLES = [
  "a red circle on a blue background", "a yellow star on a purple background",
  "a sailboat with a red sail on the sea", "a rainbow", "a snowman",
];

/** Of a result's sides, in pixels; set from the document. */
const bounds = { side: { minimum: 64, maximum: 2048, multipleOf: 8 } };

/** Fills the form from the API. Returns prompts to try with what it has. Throws Problem. */
async function readApi() {
  const [openapi, { models, default: chosen }, { samplers, schedulers }] = await Promise.all([
    call("/openapi.json"),
    call(`${API}/models`),
    call(`${API}/samplers`),
  ]);
  offer("model", models.map((model) => model.name), chosen && `Default (${chosen})`);
  offer("sampler_name", samplers.map((sampler) => sampler.name));
  offer("scheduler", schedulers);
  const { demoModel } = document.documentElement.dataset;
  const isDemo = models.length > 0 && models.every((model) => model.name === demoModel);
  bind(openapi, isDemo);
  return isDemo ? DEMO_EXAMPLES : EXAMPLES;
}

function offer(id, names, otherwise) {
  const select = byId(id);
  if (otherwise) select.options[0].textContent = otherwise;
  select.append(...names.map((name) => make("option", { value: name, textContent: name })));
}

/** Bounds and defaults as the document says; the demo model likes the size of its example. */
function bind(openapi, isDemo) {
  const { properties } = openapi.components.schemas.Txt2ImgBody;
  const { example } = openapi.paths["/txt2img"].post.requestBody.content["application/json"];
  bounds.side = properties.width;
  for (const id of FIELDS) {
    const field = byId(id);
    const { minimum, maximum, multipleOf, maxLength, type, default: value } = properties[id];
    if (field.type === "number") {
      Object.assign(field, { min: minimum, max: maximum, step: multipleOf ?? (type === "integer" ? 1 : "any") });
      const better = isDemo && ["width", "height"].includes(id) ? example[id] : value;
      if (id !== "seed") field.value = field.defaultValue = better;
    } else if (maxLength && field.type === "textarea") field.maxLength = maxLength;
  }
}

/** What the form asks for, in the API's words; what is left empty is left to the API. */
function values() {
  const asked = {};
  for (const id of FIELDS) {
    const field = byId(id);
    if (field.value === "") continue;
    asked[id] = field.type === "number" ? Number(field.value) : field.value;
  }
  if (asked.batch_size === 1) delete asked.batch_size;
  return asked;
}

function setValues(asked) {
  for (const id of FIELDS) {
    const field = byId(id);
    field.value = asked[id] ?? field.defaultValue ?? "";
    if (field.tagName === "SELECT" && field.selectedIndex < 0) field.value = "";
  }
}

/** What the browser itself can tell to be wrong, each by its field; true when nothing is. */
function checkFields() {
  const wrong = FIELDS.filter((id) => !byId(id).checkValidity());
  markWrong(wrong.map((id) => ({ field: id, message: byId(id).validationMessage })));
  return wrong.length === 0;
}

/** Puts each message next to its field and goes to the first. Returns those without a place. */
function markWrong(errors) {
  for (const place of document.querySelectorAll(".wrong")) {
    show(place, false);
    inputOf(place)?.removeAttribute("aria-invalid");
  }
  const placed = errors.filter(({ field }) => byId(`${field}-wrong`));
  for (const { field, message } of placed) {
    const place = byId(`${field}-wrong`);
    place.textContent = message;
    show(place);
    inputOf(place)?.setAttribute("aria-invalid", "true");
    const box = place.closest("details");
    if (box) box.open = true;
  }
  if (placed.length) byId(placed[0].field)?.focus();
  return errors.filter((error) => !placed.includes(error));
}

function inputOf(place) {
  return document.querySelector(`[aria-describedby="${place.id}"]`);
}
