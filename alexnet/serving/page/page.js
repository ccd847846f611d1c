// Everything that the page does: a picture comes in, one request goes out, its answer is drawn.

const part = (name) => document.getElementById(name);
const made = (kind, name, text) => {
  const node = document.createElement(kind);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
};
const share = (p) => {
  if (p < 0.001) return "< 0.1 %";
  return p > 0.999 ? "> 99.9 %" : `${(100 * p).toFixed(1)} %`;
};

let about = { evidence: true, neighbours: false, kernels: false, calibrated: true, size: 1, crop: 1, geometry: "crop", megabytes: 32 };
let turn = 0; // an answer to an earlier picture is dropped
let address = null; // of the picture shown

async function start() {
  part("camera").hidden = !navigator.mediaDevices?.getUserMedia;
  try {
    about = await (await fetch("v1/about")).json();
  } catch {
    return fail("The server does not answer; reload the page in a moment.");
  }
  const classes = about.classes === 1 ? "1 class" : `${about.classes.toLocaleString("en")} classes`;
  part("served").textContent = `${about.name} · ${classes}`;
  part("frame").classList.add(about.geometry);
  part("view").style.setProperty("--edge", `${(50 * (about.size - about.crop)) / about.size}%`);
  if (about.kernels) {
    part("kernels").src = "v1/kernels";
    part("kernels-part").hidden = false;
  }
}

async function look(file) {
  if (!file) return;
  const mine = ++turn;
  fail("");
  show(file);
  if (file.size > about.megabytes * 2 ** 20) {
    return fail(`This file is over the limit of ${about.megabytes} MB; choose a smaller one.`);
  }
  document.body.classList.add("busy");
  part("status").textContent = "Looking …";
  part("waiting").textContent = "Looking …";
  part("waiting").hidden = false;
  try {
    const found = await ask(about.evidence ? "v1/evidence?top=5" : "v1/predict?top=5", file);
    if (mine !== turn) return;
    answer(found);
    if (about.neighbours) {
      const near = await ask("v1/neighbours?count=6", file);
      if (mine === turn) neighbours(near.neighbours);
    }
  } catch (error) {
    if (mine === turn) fail(error.message);
  } finally {
    if (mine === turn) document.body.classList.remove("busy");
  }
}

async function ask(where, file) {
  const form = new FormData();
  form.append("images", file, file.name || "picture");
  for (let attempt = 0; ; attempt++) {
    let response;
    try {
      response = await fetch(where, { method: "POST", body: form });
    } catch {
      throw new Error("The server could not be reached; try again in a moment.");
    }
    if (response.status === 429 && attempt < 4) {
      part("waiting").textContent = "Many ask at once; waiting for a turn …";
      const seconds = Math.min(10, Number(response.headers.get("Retry-After")) || 1);
      await new Promise((done) => setTimeout(done, 1000 * seconds));
      continue;
    }
    const found = await response.json().catch(() => ({ error: `The server answered ${response.status}.` }));
    if (!response.ok) throw new Error(found.error);
    return found.results[0];
  }
}

function show(file) {
  if (address) URL.revokeObjectURL(address);
  address = URL.createObjectURL(file);
  part("picture").onerror = () => filled(false);
  part("picture").src = address;
  part("picture").alt = "Your photograph";
  part("caption").textContent = file.name || "";
  filled(true);
  for (const name of ["evidence", "view", "switch", "nearest"]) part(name).hidden = true;
}

function filled(yes) {
  part("invitation").hidden = yes;
  part("shown").hidden = !yes;
  part("drop").classList.toggle("filled", yes);
}

function answer(found) {
  part("labels").replaceChildren(
    ...found.predictions.map(({ label, probability }) => {
      const line = made("li");
      const track = made("span", "track");
      const fill = made("span", "fill");
      track.setAttribute("aria-hidden", "true");
      track.append(fill);
      line.append(made("span", "label", label), made("span", "share", share(probability)), track);
      requestAnimationFrame(() => requestAnimationFrame(() => { fill.style.width = `${100 * probability}%`; }));
      return line;
    }),
  );
  part("waiting").hidden = true;
  part("note").hidden = false;
  const [first, second] = found.predictions;
  const also = second ? `, then ${second.label}, ${share(second.probability)}` : "";
  part("unsure").hidden = !found.abstained;
  if (found.abstained) {
    const doubt = about.calibrated ? "" : " The network was never calibrated: its shares may be far too high or low.";
    part("unsure").textContent = `Not sure: no share reaches ${Number((100 * about.abstain_below).toPrecision(4))} %.${doubt}`;
  }
  part("status").textContent = `${found.abstained ? "Not sure. " : ""}Most likely ${first.label}, ${share(first.probability)}${also}.`;
  part("picture").alt = found.abstained ? "Your photograph" : `Your photograph, taken for ${first.label}`;
  if (found.evidence) {
    // What a browser cannot show (TIFF, say), the server has decoded.
    part("picture").onerror = () => { part("picture").onerror = null; part("picture").src = found.picture; filled(true); };
    if (part("picture").complete && !part("picture").naturalWidth) part("picture").onerror();
    part("evidence").src = found.evidence;
    part("evidence").alt = `In orange, where the evidence for ${first.label} lies`;
    part("switch").hidden = false;
    overlay();
  }
  // On a narrow screen the answer lies below the picture. (scrollIntoView would move where the next Tab leads.)
  const place = part("labels").getBoundingClientRect();
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const top = Math.min(place.bottom - innerHeight, place.top) + 16;
  if (place.bottom > innerHeight) scrollBy({ top, behavior: calm ? "auto" : "smooth" });
}

function overlay() {
  for (const name of ["evidence", "view"]) part(name).hidden = !part("overlay").checked;
}

function neighbours(found) {
  part("neighbours").replaceChildren(
    ...found.map((near) => {
      const item = made("li");
      if (near.picture) {
        const picture = made("img");
        picture.src = near.picture;
        picture.alt = near.label ? `A picture of ${near.label}` : "A picture";
        item.append(picture);
      }
      const file = made("span", "file", near.path.split("/").pop());
      file.title = near.path;
      item.append(made("span", "", near.label || "without a class"), file);
      return item;
    }),
  );
  part("nearest").hidden = !found.length;
}

function fail(sentence) {
  const name = part("caption").textContent; // stays as it is written
  const capital = sentence && !(name && sentence.startsWith(name));
  part("error").textContent = capital ? sentence[0].toUpperCase() + sentence.slice(1) : sentence;
  part("error").hidden = !sentence;
  if (!sentence) return;
  part("labels").replaceChildren();
  part("unsure").hidden = true;
  part("note").hidden = true;
  part("waiting").hidden = true;
  part("status").textContent = "";
}

async function camera() {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
  } catch {
    return fail("The camera cannot be used: there is none, or this page may not.");
  }
  part("video").srcObject = stream;
  part("viewfinder").showModal();
}

function take() {
  const video = part("video");
  const canvas = made("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  if (!canvas.width) return;
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((data) => {
    part("viewfinder").close();
    look(new File([data], "camera.jpg", { type: "image/jpeg" }));
  }, "image/jpeg", 0.95);
}

part("file").addEventListener("change", (event) => { look(event.target.files[0]); event.target.value = ""; });
part("overlay").addEventListener("change", overlay);
part("camera").addEventListener("click", camera);
part("take").addEventListener("click", take);
part("cancel").addEventListener("click", () => part("viewfinder").close());
part("viewfinder").addEventListener("close", () => {
  part("video").srcObject?.getTracks().forEach((track) => track.stop());
  part("video").srcObject = null;
});
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
  if (file) { event.preventDefault(); look(file); }
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // or the browser leaves the page to open the file
    part("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind !== "drop") return;
    const file = event.dataTransfer.files[0];
    if (file) look(file);
    else fail("That is no file; drop a photograph from a folder, or save it first.");
  });
}

start();
