"""How simulated stars are observed: camera, layout, offsets, detections."""
