// Cut two images at the divider: the left part of the first, the right part of the second.
for (const i of [0, 1]) {
  const { image: [image], x: [x], y: [y], dw: [dw], dh: [dh] } = wholes[i].data
  const [rows, columns] = image.shape
  const at = Math.max(0, Math.min(columns, Math.round((divider.location - x) / dw * columns)))
  const [from, to] = i == 0 ? [0, at] : [at, columns]
  const width = to - from
  const whole = new Uint8Array(image.buffer, image.byteOffset, image.length)
  const part = new Uint8Array(Math.max(1, rows * width))
  for (let row = 0; row < rows && width > 0; row++) {
    part.set(whole.subarray(row * columns + from, row * columns + to), row * width)
  }
  const cut = new image.constructor(part, width > 0 ? [rows, width] : [1, 1])
  shown[i].data = {
    image: [cut], x: [x + from / columns * dw], y: [y], dw: [Math.max(1, width) / columns * dw], dh: [dh],
  }
}
