// Tell the server, and whoever watches the page, that what was sent last is on the screen: two
// animation frames later it is.
requestAnimationFrame(() => requestAnimationFrame(() => {
  const { number, frame } = sent.data
  document.body.dataset.frame = frame[0]
  document.body.dataset.drawn = number[0]
  drawn.data = { number: [number[0]], ratio: [window.devicePixelRatio || 1] }
}))
