// Arrow keys step, space plays. Text fields and lists keep their keys; sliders do not, since the
// frame would move by two.
const step = (by) => {
  const to = Math.max(slider.start, Math.min(slider.end, slider.value + by))
  if (!slider.disabled && to != slider.value) { slider.value = to }
}
const acts = {
  ArrowLeft: (e) => step(e.shiftKey ? -10 : -1),
  ArrowRight: (e) => step(e.shiftKey ? 10 : 1),
  Home: () => step(-slider.end),
  End: () => step(slider.end),
  " ": () => { play.active = !play.active },
}
document.addEventListener("keydown", (event) => {
  const target = event.composedPath()[0]
  if (event.ctrlKey || event.altKey || event.metaKey || !(event.key in acts)) { return }
  if (["SELECT", "TEXTAREA"].includes(target.tagName)) { return }
  if (target.tagName == "INPUT" && target.type != "checkbox") { return }
  event.preventDefault()
  event.stopPropagation()
  acts[event.key](event)
}, { capture: true })
