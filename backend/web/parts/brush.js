// The brush: strokes over the picture, by mouse, finger, pen or keys, and the mask they make.

const BRUSH_COLOUR = "#f0318f";
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Points and sizes are in the picture's pixels. `painted`: whether anything is left of it all. */
const mask = { strokes: [], current: null, erasing: false, painted: false, tip: null };

/** What draws on the mask, which is read after each stroke. */
function maskPen() {
  return byId("mask").getContext("2d", { willReadFrequently: true });
}

function brushSize() {
  const { width, height } = byId("mask");
  return (Math.max(width, height) * byId("brush-size").value) / 100;
}

function pointOf(event) {
  const canvas = byId("mask");
  const box = canvas.getBoundingClientRect();
  return {
    x: ((event.clientX - box.left) * canvas.width) / box.width,
    y: ((event.clientY - box.top) * canvas.height) / box.height,
  };
}

function drawStroke({ size, erases, points }, from = 0) {
  const pen = maskPen();
  pen.globalCompositeOperation = erases ? "destination-out" : "source-over";
  pen.strokeStyle = pen.fillStyle = BRUSH_COLOUR;
  pen.lineWidth = size;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  for (const { x, y } of points.slice(from)) pen.lineTo(x, y);
  pen.stroke();
  if (points.length > 1) return;
  pen.arc(points[0].x, points[0].y, size / 2, 0, 2 * Math.PI);
  pen.fill();
}

function beginStroke(point) {
  mask.current = { size: brushSize(), erases: mask.erasing, points: [point] };
  mask.strokes.push(mask.current);
  drawStroke(mask.current);
}

function extendStroke(point) {
  mask.current.points.push(point);
  drawStroke(mask.current, mask.current.points.length - 2);
}

function endStroke() {
  if (!mask.current) return;
  mask.current = null;
  maskChanged();
}

function undoStroke() {
  mask.strokes.pop();
  redraw();
}

function clearMask() {
  mask.strokes = [];
  redraw();
}

function redraw() {
  const canvas = byId("mask");
  maskPen().clearRect(0, 0, canvas.width, canvas.height);
  mask.strokes.forEach((stroke) => drawStroke(stroke));
  maskChanged();
}

function maskChanged() {
  const canvas = byId("mask");
  const pixels = maskPen().getImageData(0, 0, canvas.width, canvas.height).data;
  mask.painted = pixels.some((value, index) => index % 4 === 3 && value > 0);
  byId("undo").disabled = byId("clear").disabled = mask.strokes.length === 0;
  changed();
}

/** White where painted, black elsewhere, as large as the picture. */
function maskPng() {
  const { width, height } = byId("mask");
  const sheet = make("canvas", { width, height });
  const pen = sheet.getContext("2d");
  pen.drawImage(byId("mask"), 0, 0);
  for (const [composite, colour] of [["source-in", "white"], ["destination-over", "black"]]) {
    pen.globalCompositeOperation = composite;
    pen.fillStyle = colour;
    pen.fillRect(0, 0, width, height);
  }
  return png(sheet);
}

/** Shows where and how large the brush is. */
function moveTip(point) {
  const canvas = byId("mask");
  const tip = byId("tip");
  mask.tip = point;
  show(tip, point !== null);
  if (!point) return;
  const scale = canvas.getBoundingClientRect().width / canvas.width;
  tip.style.left = `${point.x * scale}px`;
  tip.style.top = `${point.y * scale}px`;
  tip.style.width = tip.style.height = `${brushSize() * scale}px`;
}

function resizeBrush(by) {
  byId("brush-size").value = Number(byId("brush-size").value) + by;
  moveTip(mask.tip);
}

function brushKey(event) {
  const canvas = byId("mask");
  const tip = mask.tip ?? { x: canvas.width / 2, y: canvas.height / 2 };
  const arrow = ARROWS[event.key];
  if (arrow) {
    const step = brushSize() / (event.shiftKey ? 8 : 2);
    const within = (value, most) => Math.max(0, Math.min(most, value));
    moveTip({ x: within(tip.x + arrow[0] * step, canvas.width), y: within(tip.y + arrow[1] * step, canvas.height) });
  } else if (event.key === " ") {
    moveTip(tip);
    beginStroke(tip);
    endStroke();
  } else if (event.key === "[" || event.key === "]") resizeBrush(event.key === "]" ? 2 : -2);
  else if (event.key === "z" && (event.ctrlKey || event.metaKey)) undoStroke();
  else return;
  event.preventDefault();
}

function wireBrush() {
  const canvas = byId("mask");
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || mask.current) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    mask.pointer = event.pointerId;
    beginStroke(pointOf(event));
    moveTip(pointOf(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    moveTip(pointOf(event));
    if (!mask.current || event.pointerId !== mask.pointer) return;
    const passed = event.getCoalescedEvents?.() ?? [];
    for (const each of passed.length ? passed : [event]) extendStroke(pointOf(each));
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, endStroke);
  canvas.addEventListener("pointerleave", () => moveTip(null));
  canvas.addEventListener("blur", () => moveTip(null));
  canvas.addEventListener("focus", () => canvas.matches(":focus-visible") && moveTip({ x: canvas.width / 2, y: canvas.height / 2 }));
  canvas.addEventListener("keydown", brushKey);
  byId("undo").addEventListener("click", undoStroke);
  byId("clear").addEventListener("click", clearMask);
  byId("erase").addEventListener("click", ({ target }) => {
    mask.erasing = !mask.erasing;
    target.setAttribute("aria-pressed", mask.erasing);
  });
}
