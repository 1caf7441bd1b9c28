// Dragging moves the divider of the swipe, or draws a line where the profile is open.
const begins = cb_obj.event_name == "panstart"
const draws = tools.active.includes(profile)
const { x, y } = cb_obj
if (divider != null) {
  if (begins) {
    const near = 14 * (plot.x_range.end - plot.x_range.start) / plot.inner_width
    divider._moves = !draws || Math.abs(x - divider.location) < near
  }
  if (divider._moves) {
    divider.location = Math.max(plot.x_range.start, Math.min(plot.x_range.end, x))
    return
  }
}
if (!draws) { return }
if (begins) { line._from = [x, y] }
if (line._from != null) { line.data = { x: [line._from[0], x], y: [line._from[1], y] } }
if (cb_obj.event_name == "panend") { line._from = null }
