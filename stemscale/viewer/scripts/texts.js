// Write texts into their places; silently, so that the page is not laid out anew for each of them.
source.data.text.forEach((text, i) => {
  if (divs[i].text == text) { return }
  divs[i].setv({ text }, { silent: true })
  const view = Bokeh.index.find_one(divs[i])
  const place = view?.shadow_el.querySelector(".bk-clearfix")
  if (place != null) { place.innerHTML = text }
})
