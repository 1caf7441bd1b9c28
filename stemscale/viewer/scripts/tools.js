// While the profile is open, dragging draws its line and does not pan.
for (const pan of pans) { pan.active = !tools.active.includes(profile) }
